//! Many processes that want one token, and processes that die while it is on its way.
mod behind;
mod beside;
mod busy;
mod hurried;
mod killed;
mod logins;
mod lost;
mod roles;
mod shared;
mod storm;
mod tabs;
mod terminals;
