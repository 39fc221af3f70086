//! AWS credentials of a role: their own record and lock, fetched with a login's ID token.
use super::hand_off::Target;
use super::wait::{self, Goal, Judge, Ready};
use super::worker::{Broken, Done, Work, passing};
use super::{Context, Keeper, record_of};
use crate::audit::Event;
use crate::config::{AwsRole, Config, Login};
use crate::exchange::aws::{Request, RoleCredentials, Surroundings, assume_role, endpoint};
use crate::failure::{Failure, Kind};
use crate::store::{RecordId, RecordLock, Store};
use crate::token::{Freshness, Habits, Moment, Need, Step, TokenSet, freshness, next_step};

/// SDKs that get less than 15 minutes ask again at every call (botocore's advisory limit).
pub(crate) const MIN_LIFE: i64 = 900;
/// What the ID token should still last when it is exchanged, in seconds.
const TOKEN_LIFE: i64 = 60;

/// Returns the record of `role`'s credentials, which belongs to the login they are fetched with.
pub(crate) fn record_of_role(store: &Store, login: &Login, role: &AwsRole) -> RecordId {
    let login = record_of(store, login).to_string();
    let duration = role.duration.to_string();
    store.record_id(
        "aws",
        &[
            &login,
            &role.role_arn,
            &duration,
            role.region.as_deref().unwrap_or_default(),
            role.session_name.as_deref().unwrap_or_default(),
        ],
    )
}

/// Finds the route of `profile`: its role and its login.
///
/// # Errors
/// [`Kind::Unrouted`] naming those that there are.
pub(crate) fn find_profile<'c>(config: &'c Config, profile: &str) -> Result<(&'c AwsRole, &'c Login), Failure> {
    let Some((role, login)) = config.routes.aws_profile(profile) else {
        return Err(Failure::new(Kind::Unrouted, format!("there is no AWS profile `{}`", crate::terminal::printable(profile)))
            .hint("configure it: see `[aws.NAME]` in the README"));
    };
    Ok((role, super::find_login(config, login)?))
}

/// Returns credentials for `profile`, as [`Keeper::role`] promises.
pub(crate) fn obtain(keeper: &Keeper<'_>, profile: &str) -> Result<RoleCredentials, Failure> {
    let (role, login) = find_profile(keeper.config, profile)?;
    if !login.scopes.iter().any(|scope| scope == "openid") {
        return Err(ended(login));
    }
    let habits = Habits { late: false, jitter: keeper.context.jitter() };
    let judge = |bytes: &[u8], moment| judge(bytes, moment, habits, keeper.since_ms);
    let goal = goal(keeper, role, login, profile, &judge);
    // a good answer needs no look at the login; for any other the login's own record comes first, so that two locks never nest
    match read(keeper, &goal)? {
        Some(Ready::Yes { value, renew }) => {
            if renew {
                renew_without_waiting(keeper, login, &goal);
            }
            Ok(value)
        }
        _ => match keeper.tokens(login, goal.need, false) {
            Err(failure) if matches!(failure.kind, Kind::Unreachable | Kind::NeedsPerson) => {
                still_good(keeper, &goal)?.ok_or(failure)
            }
            Err(failure) => Err(failure),
            Ok(tokens) if !keeper.keeps => fetch_unkept(keeper, role, login, &tokens),
            Ok(tokens) => match wait::obtain(keeper, &goal) {
                // the worker found others on the disk: these could not be kept
                Err(_) if !keeper.is_kept(login, &tokens) => fetch_unkept(keeper, role, login, &tokens),
                done => done,
            },
        },
    }
}

/// Starts a renewal of `profile`'s credentials that nobody waits for.
///
/// # Errors
/// [`Kind::Unrouted`] where the profile is gone from the configuration.
pub(crate) fn renew_behind(keeper: &Keeper<'_>, profile: &str) -> Result<(), Failure> {
    let (role, login) = find_profile(keeper.config, profile)?;
    let judge = |_: &[u8], _| Ok(Ready::No { fallback: None, renewable: true });
    renew_without_waiting(keeper, login, &goal(keeper, role, login, profile, &judge));
    Ok(())
}

fn goal<'g>(
    keeper: &Keeper<'_>,
    role: &AwsRole,
    login: &'g Login,
    profile: &str,
    judge: Judge<'g, RoleCredentials>,
) -> Goal<'g, RoleCredentials> {
    Goal {
        record: record_of_role(&keeper.store, login, role),
        target: Target::Role(profile.to_owned()),
        login,
        need: Need::IdToken { min_life: TOKEN_LIFE },
        force: false,
        former_ms: None,
        judge,
    }
}

fn read(keeper: &Keeper<'_>, goal: &Goal<'_, RoleCredentials>) -> Result<Option<Ready<RoleCredentials>>, Failure> {
    if !keeper.keeps {
        return Ok(None);
    }
    let payload = keeper.store.read(&goal.record).ok().flatten().and_then(|record| record.payload);
    payload.map(|payload| (goal.judge)(&payload, keeper.context.moment())).transpose()
}

/// Returns credentials that still work though their login cannot be renewed.
fn still_good(keeper: &Keeper<'_>, goal: &Goal<'_, RoleCredentials>) -> Result<Option<RoleCredentials>, Failure> {
    Ok(match read(keeper, goal)? {
        Some(Ready::Yes { value, .. }) => Some(value),
        Some(Ready::No { fallback, .. }) => fallback,
        None => None,
    })
}

fn judge(bytes: &[u8], moment: Moment, habits: Habits, since_ms: i64) -> Result<Ready<RoleCredentials>, Failure> {
    let credentials = RoleCredentials::read(bytes)?;
    let renewed_at_ms = credentials.renewed_at_ms;
    let usable = credentials.life().left(moment).is_some_and(|left| left > 0);
    Ok(match freshness(credentials.life(), MIN_LIFE, habits, moment) {
        Freshness::Fresh => Ready::Yes { value: credentials, renew: false },
        Freshness::Ageing => Ready::Yes { value: credentials, renew: true },
        Freshness::Stale if usable && moment.covers(since_ms, renewed_at_ms) => Ready::Yes { value: credentials, renew: false },
        Freshness::Stale => Ready::No { fallback: usable.then_some(credentials), renewable: true },
    })
}

/// Renews behind an answer: the role where the login's ID token is good, else the login, so that the next call finds it so.
fn renew_without_waiting(keeper: &Keeper<'_>, login: &Login, goal: &Goal<'_, RoleCredentials>) {
    let tokens = keeper.store.read(&record_of(&keeper.store, login)).ok().flatten().and_then(|record| record.payload);
    let tokens = tokens.and_then(|payload| TokenSet::read(&payload).ok());
    let habits = Habits { late: login.late_refresh, jitter: 0 };
    match next_step(tokens.as_ref(), goal.need, habits, keeper.context.moment()) {
        Step::Use | Step::UseAndRenew => wait::renew_behind(keeper, goal),
        // a server that brings no ID token would be asked again at every call
        Step::Renew if tokens.is_some_and(|tokens| tokens.came_without_id_token()) => {}
        Step::Renew => keeper.renew_behind(login, goal.need),
        Step::SignIn => {}
    }
}

/// The worker's part: exchanges the login's ID token and keeps the credentials.
///
/// # Errors
/// What the token service said, or that the login's token ended meanwhile.
pub(crate) fn exchange(work: &Work<'_>, profile: &str, lock: &RecordLock) -> Result<Done, Broken> {
    let (role, login) = find_profile(work.config, profile).map_err(passing)?;
    if record_of_role(&work.store, login, role) != work.record {
        return Err(passing(
            Failure::new(Kind::Misconfigured, format!("AWS profile `{profile}` was changed meanwhile"))
                .hint("run the command again"),
        ));
    }
    let stored = work.store.read(&work.record).ok().flatten().and_then(|record| record.payload);
    if stored.is_some_and(|payload| is_enough(&payload, work)) {
        return Ok(Done::Kept);
    }
    let tokens = work.read(&record_of(&work.store, login)).map_err(passing)?;
    let tokens = tokens.ok_or_else(|| passing(ended(login)))?;
    let slot = work.store.reserve(lock).map_err(passing)?;
    let credentials = fetch(work.context, role, login, &tokens).map_err(passing)?;
    let form = credentials.stored_form();
    let done = work.done(lock, slot.commit(&form), form, false);
    let entry = work.entry(Event::Exchanged, login, &tokens).of(&work.store, Some(&credentials.session_token));
    work.note(&entry.to(&role.role_arn));
    Ok(done)
}

/// Whether somebody else has already fetched what this job is for.
fn is_enough(payload: &[u8], work: &Work<'_>) -> bool {
    let widest = Habits { late: false, jitter: 25 };
    matches!(judge(payload, work.context.moment(), widest, work.job.since_ms), Ok(Ready::Yes { renew: false, .. }))
}

/// Exchanges for one caller alone.
fn fetch_unkept(keeper: &Keeper<'_>, role: &AwsRole, login: &Login, tokens: &TokenSet) -> Result<RoleCredentials, Failure> {
    let credentials = fetch(keeper.context, role, login, tokens)?;
    let entry = keeper.entry(Event::Exchanged, login, tokens).of(&keeper.store, Some(&credentials.session_token));
    keeper.note(&entry.to(&role.role_arn));
    Ok(credentials)
}

fn fetch(context: &Context, role: &AwsRole, login: &Login, tokens: &TokenSet) -> Result<RoleCredentials, Failure> {
    let environment = &context.environment;
    let need = Need::IdToken { min_life: 0 };
    let id_token = tokens.usable(need, context.moment()).ok_or_else(|| ended(login))?;
    let ignored = environment.text("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS").is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let around = Surroundings {
        endpoint: environment.text("AWS_ENDPOINT_URL_STS").or_else(|| environment.text("AWS_ENDPOINT_URL")).filter(|_| !ignored),
        region: environment.text("AWS_REGION").or_else(|| environment.text("AWS_DEFAULT_REGION")),
        fips: environment.text("AWS_USE_FIPS_ENDPOINT").is_some_and(|value| value.eq_ignore_ascii_case("true")),
    };
    let endpoint = endpoint(&role.partition, role.region.as_deref(), &around)?;
    let session_name = role.session_name.clone().unwrap_or_else(|| session_name(tokens));
    let request = Request {
        role_arn: &role.role_arn,
        session_name: &session_name,
        duration: role.duration,
        account_id: Some(&role.account_id),
    };
    let ca_file = environment.absolute("AWS_CA_BUNDLE").or_else(|| login.ca_file.clone());
    let granted = assume_role(&endpoint, ca_file.as_deref(), &request, &id_token.value)?;
    Ok(granted.at(context.moment(), (context.now_ms)()))
}

fn ended(login: &Login) -> Failure {
    Failure::new(Kind::Misconfigured, format!("login `{}` has no ID token to show to AWS", login.name))
        .hint(format!("its `scopes` must have `openid`; then run `keyfob login {}`", login.name))
}

/// Names the session after the account, in the characters that AWS takes (`[\w+=,.@-]{2,64}`).
fn session_name(tokens: &TokenSet) -> String {
    let wanted = tokens.account.as_deref().or(tokens.subject.as_deref()).unwrap_or_default();
    let name: String = wanted.chars().filter(|c| c.is_ascii_alphanumeric() || "_+=,.@-".contains(*c)).take(64).collect();
    if name.len() < 2 { "keyfob".into() } else { name }
}
