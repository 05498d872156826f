//! temp
use rearguard::cli;
#[tokio::main]
async fn main() {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or("rearguard=info,warn".into()),
        )
        .init();
    let a: Vec<String> = std::env::args().collect();
    let p = || std::path::PathBuf::from(&a[3]);
    let c = match a[1].as_str() {
        "run" => cli::run::run(&p()).await,
        "check" => cli::check::run(&p(), false).await,
        "schema" => {
            println!("{}", rearguard::config::schema());
            cli::ExitCode::Success
        }
        "demo" => match cli::demo::run().await {
            Ok(()) => cli::ExitCode::Success,
            Err(e) => {
                eprintln!("{}", rearguard::telemetry::Chain(&e));
                cli::ExitCode::Failure
            }
        },
        _ => cli::ExitCode::Failure,
    };
    std::process::exit(c as i32)
}
