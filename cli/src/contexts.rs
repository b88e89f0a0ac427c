//! What `omnirelay context` does to the contexts that are known by name.

use std::path::Path;

use omnirelay_runtime::{ErrorKind, OperatorError, Result};
use serde_json::{Value, json};

use crate::args::{ContextCommand, ContextField, NamedContext, SetContext, ShowContext, Shown};
use crate::context::{Context, Known, NAMES, RelayRef, is_name};
use crate::output::{self, Look, TextFormat};
use crate::paths;
use crate::table::Table;

/// Carries out one of the verbs; `named` is the context that other commands would take.
pub(crate) fn run(named: Option<&Path>, command: &ContextCommand) -> Result<()> {
    match command {
        ContextCommand::List(args) => list(args),
        ContextCommand::Use(args) => take(args),
        ContextCommand::Show(args) => show(named, args),
        ContextCommand::Set(args) => set(args),
        ContextCommand::Delete(args) => delete(args),
    }
}

fn list(args: &Shown) -> Result<()> {
    let known = Known::read()?;
    let current = known.current.as_deref();
    if let Some(notation) = args.output.notation() {
        let contexts: Vec<Value> = known.contexts.iter().map(|(name, one)| record(Some(name), one)).collect();
        return output::print_document(notation, &json!({ "current": current, "contexts": contexts }));
    }
    let mut table = Table::new(&HEADINGS);
    known.contexts.iter().for_each(|(name, one)| row(&mut table, name, one, current));
    output::print(&table.render(0, args.output.look()))?;
    output::note(&format!("{} contexts in {}", known.contexts.len(), known.path.display()));
    Ok(())
}

fn show(named: Option<&Path>, args: &ShowContext) -> Result<()> {
    let context = match &args.name {
        Some(name) => Known::read()?.context(name)?,
        None => Context::read(named)?,
    };
    let name = args.name.as_deref();
    match args.shown.output.notation() {
        Some(notation) => output::print_document(notation, &record(name, &context)),
        None => output::print(&text(&context, args.shown.output.look())),
    }
}

fn take(args: &NamedContext) -> Result<()> {
    let mut known = Known::read()?;
    let context = known.context(&args.name)?;
    known.current = Some(args.name.clone());
    known.write()?;
    told(args.output, &args.name, &context, "is in use")
}

fn delete(args: &NamedContext) -> Result<()> {
    let mut known = Known::read()?;
    let context = known.contexts.remove(&args.name).ok_or_else(|| known.unknown(&args.name))?;
    known.current = known.current.filter(|current| *current != args.name);
    known.write()?;
    told(args.output, &args.name, &context, "is forgotten")
}

fn set(args: &SetContext) -> Result<()> {
    if !is_name(&args.name) {
        let error = OperatorError::new(ErrorKind::Usage, format!("`{}` is no name of a context", args.name));
        return Err(error.hint(NAMES));
    }
    let mut known = Known::read()?;
    let mut context = match &args.from {
        Some(file) => Context::of_file(&paths::absolute(file)?, "check the path after `--from`")?,
        None => known.contexts.get(&args.name).cloned().unwrap_or_default(),
    };
    said(args, &mut context)?;
    if context.mesh.is_empty() {
        return Err(OperatorError::new(ErrorKind::Usage, "nothing says where the mesh is")
            .hint("name it with `--mesh URL`, or take it from a file with `--from FILE`"));
    }
    let context = context.checked(&known.path)?;
    known.contexts.insert(args.name.clone(), context.clone());
    if args.in_use || known.contexts.len() == 1 {
        known.current = Some(args.name.clone());
    }
    known.write()?;
    told(args.output, &args.name, &context, "is set")
}

/// Says of a context what the options say.
fn said(args: &SetContext, context: &mut Context) -> Result<()> {
    for field in &args.unset {
        match field {
            ContextField::Ca => context.ca = None,
            ContextField::Certificate => (context.certificate, context.private_key) = (None, None),
            ContextField::Token => (context.token_file, context.token_command) = (None, Vec::new()),
            ContextField::Relays => context.relays.clear(),
        }
    }
    if let Some(mesh) = &args.mesh {
        url(mesh)?;
        context.mesh.clone_from(mesh);
    }
    for (said, field) in [
        (&args.ca, &mut context.ca),
        (&args.certificate, &mut context.certificate),
        (&args.private_key, &mut context.private_key),
    ] {
        if let Some(path) = said {
            *field = Some(paths::absolute(path)?);
        }
    }
    if let Some(path) = &args.token_file {
        (context.token_file, context.token_command) = (Some(paths::absolute(path)?), Vec::new());
    }
    if let Some(command) = &args.token_command {
        let words = command.split_whitespace().map(ToOwned::to_owned).collect();
        (context.token_file, context.token_command) = (None, words);
    }
    for text in &args.relays {
        let relay = relay(text)?;
        match context.relays.iter_mut().find(|known| known.name == relay.name) {
            Some(known) => *known = relay,
            None => context.relays.push(relay),
        }
    }
    Ok(())
}

fn relay(text: &str) -> Result<RelayRef> {
    let parts = text.split_once('=').and_then(|(name, urls)| Some((name, urls.split_once(',')?)));
    let (name, (data, admin)) = parts.filter(|(name, _)| is_name(name)).ok_or_else(|| {
        OperatorError::new(ErrorKind::Usage, format!("`{text}` is no relay"))
            .hint("write NAME=DATA_URL,ADMIN_URL, as in edge=https://edge:7410,https://edge:7411")
    })?;
    url(data)?;
    url(admin)?;
    Ok(RelayRef { name: name.to_owned(), data: data.to_owned(), admin: admin.to_owned() })
}

fn url(text: &str) -> Result<()> {
    let authority = text.strip_prefix("https://").and_then(|rest| rest.parse::<http::uri::Authority>().ok());
    if authority.is_some_and(|authority| !authority.as_str().contains('@')) {
        return Ok(());
    }
    Err(OperatorError::new(ErrorKind::Usage, format!("`{text}` is no address of a mesh or a relay"))
        .hint("write https://HOST:PORT"))
}

fn told(format: TextFormat, name: &str, context: &Context, what: &str) -> Result<()> {
    match format.notation() {
        Some(notation) => output::print_document(notation, &record(Some(name), context)),
        None => output::print(&format!("`{name}` {what}\n")),
    }
}

const HEADINGS: [&str; 8] =
    ["NAME", "IN USE", "MESH", "TOKEN", "RELAYS", "+CA", "+CERTIFICATE", "+TOKEN FROM"];

fn row(table: &mut Table, name: &str, context: &Context, current: Option<&str>) {
    let shown = |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let relays: Vec<&str> = context.relays.iter().map(|relay| relay.name.as_str()).collect();
    table.row([
        name.to_owned(),
        if current == Some(name) { "yes" } else { "" }.to_owned(),
        context.mesh.clone(),
        match (&context.token_file, context.token_command.as_slice()) {
            (Some(_), _) => "file",
            (None, [_, ..]) => "command",
            (None, []) => "",
        }
        .to_owned(),
        relays.join(", "),
        shown(&context.ca).unwrap_or_default(),
        shown(&context.certificate).unwrap_or_default(),
        shown(&context.token_file).unwrap_or_else(|| context.token_command.join(" ")),
    ]);
}

fn text(context: &Context, look: Look) -> String {
    let mut out = format!("mesh         {}\n", context.mesh);
    let paths = [
        ("ca", &context.ca),
        ("certificate", &context.certificate),
        ("private key", &context.private_key),
        ("token file", &context.token_file),
    ];
    for (name, path) in paths {
        path.iter().for_each(|path| out.push_str(&format!("{name:<11}  {}\n", path.display())));
    }
    if !context.token_command.is_empty() {
        out.push_str(&format!("token from   {}\n", context.token_command.join(" ")));
    }
    if !context.relays.is_empty() {
        let mut table = Table::new(&["RELAY", "DATA", "DIAGNOSTICS"]);
        context
            .relays
            .iter()
            .for_each(|relay| table.row([relay.name.clone(), relay.data.clone(), relay.admin.clone()]));
        out.push_str(&format!("\n{}", table.render(0, look)));
    }
    out
}

/// A context as a document; where credentials are, never what they are.
fn record(name: Option<&str>, context: &Context) -> Value {
    let mut document = json!(context);
    if let (Some(name), Some(fields)) = (name, document.as_object_mut()) {
        fields.insert("name".to_owned(), name.into());
    }
    document
}
