//! Something that calls itself the desktop's keyring: `secret_service --mode silent|half|dies`. It answers no call, only those that
//! look at it, or ends at the first one. Prints `READY -` and runs until its stdin ends. `DBUS_SESSION_BUS_ADDRESS` names the bus.
#[path = "../support/mod.rs"]
mod support;

use support::program;

#[cfg(target_os = "linux")]
fn main() {
    use zbus::blocking::{Connection, MessageIterator};
    use zbus::message::Type;
    use zbus::zvariant::{ObjectPath, Value};

    let mode = program::required_flag("mode");
    let bus = Connection::session().expect("DBUS_SESSION_BUS_ADDRESS names a bus");
    let calls = MessageIterator::from(&bus);
    bus.request_name("org.freedesktop.secrets").expect("nobody else has the name");
    std::thread::spawn(move || {
        for call in calls.flatten().filter(|message| message.message_type() == Type::MethodCall) {
            let header = call.header();
            let asked = header.member().map(|name| name.to_string()).unwrap_or_default();
            match (mode.as_str(), asked.as_str()) {
                ("dies", _) => std::process::exit(0),
                ("half", "ReadAlias") => {
                    let path = ObjectPath::from_static_str_unchecked("/org/freedesktop/secrets/collection/login");
                    bus.reply(&header, &path).expect("the caller waits");
                }
                ("half", "Get") => bus.reply(&header, &Value::from(false)).expect("the caller waits"),
                _ => {}
            }
        }
    });
    program::ready(&["-"]);
    program::until_stdin_ends();
}

#[cfg(not(target_os = "linux"))]
fn main() {
    program::ready(&["-"]);
    program::until_stdin_ends();
}
