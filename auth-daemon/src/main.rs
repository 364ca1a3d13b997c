//! `auth-daemon`: the standalone single sign-on daemon and its command line.

mod cli;
mod commands;
mod config;
mod exit;
mod output;

use exit::Exit;

fn main() -> Exit {
    let cli = match cli::Cli::from_arguments(std::env::args_os()) {
        Ok(cli) => cli,
        Err(exit) => return exit,
    };
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(commands::run(cli)),
        Err(error) => {
            output::message(&format!("no threads for the daemon: {error}"));
            Exit::Failed
        }
    }
}
