//! `auth-daemon`: the standalone single sign-on daemon and its command line.

mod app;
mod cli;
mod commands;
mod config;
mod cookie_store;
mod edge;
mod error;
mod exit;
mod extract;
mod jobs;
mod mattermost;
mod metadata_fetch;
mod outbound;
mod outbox;
mod output;
mod pages;
mod routes;
mod server;
mod telemetry;

use exit::Exit;

// glibc keeps what passes from thread to thread: after a storm of logins the process would hold
// hundreds of mebibytes for ever.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> Exit {
    let cli = match cli::Cli::from_arguments(std::env::args_os()) {
        Ok(cli) => cli,
        Err(exit) => return exit,
    };
    // A second provider in one process would panic at the first handshake: this is the only one.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => match runtime.block_on(commands::run(cli)) {
            Exit::Done if !output::is_complete() => {
                output::message("auth-daemon: standard output could not be written");
                Exit::Failed
            }
            exit => exit,
        },
        Err(error) => {
            output::message(&format!("no threads for the daemon: {error}"));
            Exit::Failed
        }
    }
}
