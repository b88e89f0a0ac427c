//! What each word of the command line does.

use std::io::Write as _;
use std::path::Path;
use std::process::ExitCode;

use clap::CommandFactory as _;
use omnirelay_runtime::Result;

use crate::args::{
    AuditCommand, Bootstrap, Cli, Clusters, Command, ConfigCommand, DaemonConfig, DebugCommand, Dev, Init,
    Leaders, Mesh, Namespaces, Peers, Script, Shards, TransportCommand,
};
use crate::dev::Hosts;
use crate::mesh::peers::Verb;
use crate::output::{self, Look};
use crate::{bench, contexts, dev, fault, introspect, mesh, operate, paths, reference, request, script, up};

/// Runs one command to its exit code.
pub(crate) fn run(cli: Cli) -> Result<ExitCode> {
    let named = cli
        .context
        .or_else(|| std::env::var_os("OMNIRELAY_CONTEXT").filter(|path| !path.is_empty()).map(Into::into));
    let context = named.as_deref();
    match cli.command {
        Command::Up(args) => return up::run(&args),
        Command::Request(args) => return request::run(context, &args),
        Command::Bench(args) => return bench::run(context, &args),
        Command::Script(Script::Run(args)) => return script::run(context, &args),
        Command::Mesh(Mesh::Peers(args)) => peers(context, &args)?,
        Command::Mesh(Mesh::Clusters(args)) => clusters(context, &args)?,
        Command::Mesh(Mesh::Members(args)) => mesh::members::list(context, &args)?,
        Command::Mesh(Mesh::Versions(args)) => mesh::audit::versions(context, &args)?,
        Command::Mesh(Mesh::Audit(AuditCommand::List(args))) => mesh::audit::list(context, &args)?,
        Command::Mesh(Mesh::Audit(AuditCommand::Export(args))) => mesh::audit::export(context, &args)?,
        Command::Mesh(Mesh::Audit(AuditCommand::Verify(args))) => mesh::audit::verify(context, &args)?,
        Command::Mesh(Mesh::Config(ConfigCommand::Show(args))) => mesh::config::show(context, &args)?,
        Command::Mesh(Mesh::Config(ConfigCommand::Patch(args))) => mesh::config::patch(context, &args)?,
        Command::Mesh(Mesh::Config(ConfigCommand::History(args))) => mesh::config::history(context, &args)?,
        Command::Mesh(Mesh::Config(ConfigCommand::Rollback(args))) => {
            mesh::config::roll_back(context, &args)?;
        }
        Command::Mesh(Mesh::Shards(args)) => shards(context, &args)?,
        Command::Mesh(Mesh::Namespaces(args)) => namespaces(context, &args)?,
        Command::Mesh(Mesh::Bootstrap(args)) => bootstrap(context, &args)?,
        Command::Mesh(Mesh::Config(ConfigCommand::Validate(args))) => return mesh::validate::run(args),
        Command::Mesh(Mesh::Leaders(Leaders::Status(args))) => mesh::leaders::status(context, &args)?,
        Command::Mesh(Mesh::Leaders(Leaders::Resign(args))) => mesh::leaders::resign(context, &args)?,
        Command::Mesh(Mesh::Backup(args)) => mesh::backup::run(context, &args)?,
        Command::Mesh(Mesh::Restore(args)) => return mesh::restore::run(&args),
        Command::Mesh(Mesh::Transport(TransportCommand::Stats(args))) => {
            mesh::transport::stats(context, &args)?;
        }
        Command::Mesh(Mesh::Debug(DebugCommand::DowngradeEvents(args))) => {
            mesh::downgrades::run(context, &args)?;
        }
        Command::Introspect(args) => introspect::run(context, &args)?,
        Command::Config(DaemonConfig::History(args)) => operate::history(context, &args)?,
        Command::Config(DaemonConfig::Reload(args)) => return operate::reload(context, &args),
        Command::Log(args) => operate::log(context, &args)?,
        Command::Fault(command) => fault::run(context, &command)?,
        Command::Drain(args) => operate::drain(context, &args)?,
        Command::Context(args) => contexts::run(context, &args)?,
        Command::Dev(Dev::Init(args)) => init(&args)?,
        Command::Dev(Dev::Docs) => output::print(&reference::markdown())?,
        Command::Completion { shell } => completion(shell)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn completion(shell: clap_complete::Shell) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "omnirelay", &mut script);
    output::print_bytes(&script)
}

fn init(args: &Init) -> Result<()> {
    let hosts = Hosts::parse(&args.hosts)?;
    let mounted_at = args.mounted_at.clone();
    let mesh = dev::prepare(&paths::absolute(&args.dir)?, |options| {
        options.base_port = args.place.base_port.unwrap_or(options.base_port);
        options.listen = args.listen.unwrap_or(options.listen);
        if !args.hosts.is_empty() {
            options.hosts = hosts;
        }
        if mounted_at.is_some() {
            options.mounted_at = mounted_at;
        }
    })?;
    if let Some(notation) = args.output.notation() {
        return output::print_document(
            notation,
            &serde_json::json!({
                "directory": mesh.directory,
                "base_port": mesh.options.base_port,
                "ca": mesh.ca,
                "token_file": mesh.token_file,
                "context": mesh.context,
                "components": mesh.components,
            }),
        );
    }
    let mut text = Vec::new();
    // Writing to memory cannot fail.
    let _infallible = writeln!(
        text,
        "Development mesh in {}\n\n{}\n  authority  {}\n  token      {}\n  context    {}\n\n{}",
        mesh.directory.display(),
        up::component_table(&mesh).render(2, Look::usual()),
        mesh.ca.display(),
        mesh.token_file.display(),
        mesh.context.display(),
        next_step(&mesh),
    );
    output::print_bytes(&text)
}

/// Where the directory is mounted elsewhere for the processes, they are not this machine's to start.
fn next_step(mesh: &dev::DevMesh) -> String {
    match &mesh.options.mounted_at {
        Some(place) => format!(
            "Mount it at {} for each process, and start those with `--config {}/NAME.toml`",
            place.display(),
            place.display()
        ),
        None => format!(
            "Start it with:  {} up --dir {}",
            up::own_name(),
            paths::shell_word(&mesh.directory.display().to_string())
        ),
    }
}

fn peers(context: Option<&Path>, args: &Peers) -> Result<()> {
    match args {
        Peers::List(args) => mesh::peers::list(context, args),
        Peers::Get(args) => mesh::peers::get(context, args),
        Peers::Cordon(args) => mesh::peers::hold_back(context, args, Verb::Cordon),
        Peers::Uncordon(args) => mesh::peers::hold_back(context, args, Verb::Uncordon),
        Peers::Drain(args) => mesh::peers::hold_back(context, args, Verb::Drain),
        Peers::Label(args) => mesh::peers::label(context, args),
    }
}

fn shards(context: Option<&Path>, args: &Shards) -> Result<()> {
    match args {
        Shards::List(args) => mesh::shards::list(context, args),
        Shards::Get(args) => mesh::shards::get(context, args),
        Shards::Lookup(args) => mesh::shards::lookup(context, args),
        Shards::Owners(args) => mesh::shards::owners::owners(context, args),
        Shards::Top(args) => mesh::shards::top::top(context, args),
        Shards::Diff(args) => mesh::shards::past::diff(context, args),
        Shards::History(args) => mesh::shards::past::history(context, args),
        Shards::Simulate(args) => mesh::shards::owners::simulate(context, args),
        Shards::Assign(args) => mesh::shards::assign(context, args),
        Shards::Watch(args) => mesh::shards::watch::watch(context, args),
    }
}

fn namespaces(context: Option<&Path>, args: &Namespaces) -> Result<()> {
    match args {
        Namespaces::List(args) => mesh::namespaces::list(context, args),
        Namespaces::Get(args) => mesh::namespaces::get(context, args),
        Namespaces::Create(args) => mesh::namespaces::create(context, args),
        Namespaces::Update(args) => mesh::namespaces::update(context, args),
        Namespaces::Delete(args) => mesh::namespaces::delete(context, args),
    }
}

fn bootstrap(context: Option<&Path>, args: &Bootstrap) -> Result<()> {
    match args {
        Bootstrap::IssueToken(args) => mesh::bootstrap::issue(context, args),
        Bootstrap::Tokens(args) => mesh::bootstrap::tokens(context, args),
        Bootstrap::Withdraw(args) => mesh::bootstrap::withdraw(context, args),
        Bootstrap::Join(args) => mesh::bootstrap::join(args),
        Bootstrap::Rotate(args) => mesh::bootstrap::rotate(context, args),
        Bootstrap::Identities(args) => mesh::bootstrap::identities(context, args),
        Bootstrap::Revoke(args) => mesh::bootstrap::revoke(context, args),
    }
}

fn clusters(context: Option<&Path>, args: &Clusters) -> Result<()> {
    match args {
        Clusters::List(args) => mesh::clusters::list(context, args),
        Clusters::Get(args) => mesh::clusters::get(context, args),
        Clusters::Create(args) => mesh::clusters::create(context, args),
        Clusters::Update(args) => mesh::clusters::update(context, args),
        Clusters::Promote(args) => mesh::clusters::promote(context, args),
        Clusters::Demote(args) => mesh::clusters::demote(context, args),
    }
}
