//! See `auth_fuzz::response`. Without cargo-fuzz it judges the files that it is given.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    auth_fuzz::response(bytes);
});

#[cfg(not(fuzzing))]
fn main() {
    auth_fuzz::judge_files(auth_fuzz::response);
}
