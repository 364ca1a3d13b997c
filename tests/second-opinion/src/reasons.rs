//! Why ours is right where the two differ: by the beginning of a case's name.

/// The reason, if there is one.
pub(crate) fn why(case: &str, ours_accepts: bool, theirs_accepts: bool) -> Option<&'static str> {
    let table = match (ours_accepts, theirs_accepts) {
        (false, true) => ONLY_THEY_ACCEPT,
        (true, false) => ONLY_OURS_ACCEPTS,
        _ => OTHER_NAME,
    };
    table.iter().find(|(start, _)| case.starts_with(start)).map(|(_, reason)| *reason)
}

const ONLY_THEY_ACCEPT: &[(&str, &str)] = &[];
const ONLY_OURS_ACCEPTS: &[(&str, &str)] = &[];
const OTHER_NAME: &[(&str, &str)] = &[];
