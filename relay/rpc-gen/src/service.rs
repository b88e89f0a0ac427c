//! One service as Rust: a trait to implement, its registration, a client.

use std::fmt::Write as _;

use prost_build::{Method, Service, ServiceGenerator};

/// Writes a trait, `NAMEServer` with its `NAMEProcedures`, and `NAMEClient` for each service.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServiceCode;

impl ServiceGenerator for ServiceCode {
    fn generate(&mut self, service: Service, buf: &mut String) {
        // Writing to a string cannot fail.
        let _infallible = write_service(&service, buf);
    }
}

/// The shapes, by the name of their function in `relay_rpc`.
fn shape(method: &Method) -> &'static str {
    match (method.client_streaming, method.server_streaming) {
        (false, false) if is_oneway(method) => "oneway",
        (false, false) => "unary",
        (false, true) => "server_stream",
        (true, false) => "client_stream",
        (true, true) => "bidi",
    }
}

fn is_oneway(method: &Method) -> bool {
    method.output_proto_type == ".uber.yarpc.Oneway"
}

fn path(service: &Service, method: &Method) -> String {
    format!("/{}/{}", full_name(service), method.proto_name)
}

fn full_name(service: &Service) -> String {
    let dot = if service.package.is_empty() { "" } else { "." };
    format!("{}{dot}{}", service.package, service.proto_name)
}

fn write_service(service: &Service, buf: &mut String) -> std::fmt::Result {
    write_trait(service, buf)?;
    write_server(service, buf)?;
    write_client(service, buf)
}

fn write_trait(service: &Service, buf: &mut String) -> std::fmt::Result {
    service.comments.append_with_indent(0, buf);
    writeln!(buf, "pub trait {}: Send + Sync + 'static {{", service.name)?;
    for method in &service.methods {
        method.comments.append_with_indent(1, buf);
        let (input, output) = (&method.input_type, &method.output_type);
        let takes = if method.client_streaming {
            format!("requests: ::relay_rpc::Messages<{input}>")
        } else {
            format!("request: {input}")
        };
        let gives = match shape(method) {
            "oneway" => "()".to_owned(),
            "unary" | "client_stream" => format!("::relay_rpc::Reply<{output}>"),
            _ => format!("::relay_rpc::Reply<::relay_rpc::ReplyStream<{output}>>"),
        };
        writeln!(
            buf,
            "    fn {}(&self, call: ::relay_rpc::Call, {takes}) \
             -> impl Future<Output = Result<{gives}, ::relay_rpc::Status>> + Send;",
            method.name
        )?;
    }
    writeln!(buf, "}}")
}

fn write_server(service: &Service, buf: &mut String) -> std::fmt::Result {
    let name = &service.name;
    writeln!(buf, "/// Registers an implementation of [`{name}`].")?;
    writeln!(buf, "#[derive(Clone, Copy, Debug)]")?;
    writeln!(buf, "pub struct {name}Server;")?;
    writeln!(buf, "impl {name}Server {{")?;
    writeln!(buf, "    /// The service's full name.")?;
    writeln!(buf, "    pub const NAME: &'static str = \"{}\";", full_name(service))?;
    writeln!(buf, "    /// Registers every method at a dispatcher that knows the contract.")?;
    writeln!(buf, "    ///\n    /// # Errors\n    /// As of `relay_rpc::Dispatcher::add`.")?;
    writeln!(
        buf,
        "    pub fn register<T: {name}>(dispatcher: ::relay_rpc::Dispatcher, service: &::std::sync::Arc<T>) \
         -> Result<::relay_rpc::Dispatcher, ::relay_rpc::OperatorError> {{ \
         Self::procedures(service).register(dispatcher) }}"
    )?;
    writeln!(buf, "    /// Every method on its own, to give some of them layers or aliases first.")?;
    writeln!(
        buf,
        "    pub fn procedures<T: {name}>(service: &::std::sync::Arc<T>) -> {name}Procedures {{ \
         {name}Procedures {{"
    )?;
    for method in &service.methods {
        let (shape, path, rust) = (shape(method), path(service, method), &method.name);
        writeln!(
            buf,
            "{rust}: {{ let one = ::std::sync::Arc::clone(service); \
             ::relay_rpc::proto(\"{path}\").{shape}(move |call, request| {{ \
             let one = ::std::sync::Arc::clone(&one); \
             async move {{ one.{rust}(call, request).await }} }}) }},"
        )?;
    }
    writeln!(buf, "    }} }}\n}}")?;
    write_procedures(service, buf)
}

fn write_procedures(service: &Service, buf: &mut String) -> std::fmt::Result {
    let name = &service.name;
    writeln!(buf, "/// The methods of a [`{name}`] as they are registered.")?;
    writeln!(buf, "#[derive(Debug)]")?;
    writeln!(buf, "pub struct {name}Procedures {{")?;
    for method in &service.methods {
        method.comments.append_with_indent(1, buf);
        writeln!(buf, "    pub {}: ::relay_rpc::Registration,", method.name)?;
    }
    writeln!(buf, "}}\nimpl {name}Procedures {{")?;
    writeln!(buf, "    /// Registers every method with the layers and aliases that it was given.")?;
    writeln!(buf, "    ///\n    /// # Errors\n    /// As of `relay_rpc::Dispatcher::add`.")?;
    writeln!(
        buf,
        "    pub fn register(self, dispatcher: ::relay_rpc::Dispatcher) \
         -> Result<::relay_rpc::Dispatcher, ::relay_rpc::OperatorError> {{"
    )?;
    for method in &service.methods {
        writeln!(buf, "        let dispatcher = dispatcher.add(self.{})?;", method.name)?;
    }
    writeln!(buf, "        Ok(dispatcher)\n    }}\n}}")
}

fn write_client(service: &Service, buf: &mut String) -> std::fmt::Result {
    let name = &service.name;
    writeln!(buf, "/// Calls [`{name}`] as gRPC.")?;
    writeln!(buf, "#[derive(Clone, Debug)]")?;
    writeln!(buf, "pub struct {name}Client<S>(::relay_rpc::Client<S>);")?;
    writeln!(buf, "impl<S: ::relay_rpc::Carrier> {name}Client<S> {{")?;
    writeln!(buf, "    /// A client of a caller and a deadline of its own.")?;
    writeln!(buf, "    pub fn new(client: ::relay_rpc::Client<S>) -> Self {{ Self(client) }}")?;
    for method in &service.methods {
        method.comments.append_with_indent(1, buf);
        writeln!(buf, "    ///\n    /// # Errors\n    /// As of `relay_rpc::Client::{}`.", shape(method))?;
        write_call(service, method, buf)?;
    }
    writeln!(buf, "}}")
}

fn write_call(service: &Service, method: &Method, buf: &mut String) -> std::fmt::Result {
    let (shape, path) = (shape(method), path(service, method));
    let (input, output, rust) = (&method.input_type, &method.output_type, &method.name);
    let asked = if method.client_streaming { "requests" } else { "request" };
    let gives = match shape {
        "oneway" => "()".to_owned(),
        "unary" | "client_stream" => format!("::relay_rpc::Reply<{output}>"),
        _ => format!("::relay_rpc::Streaming<{output}>"),
    };
    let takes = if method.client_streaming {
        format!("requests: impl ::relay_rpc::StreamAsk<Message = {input}>")
    } else {
        format!("request: impl Into<::relay_rpc::Ask<{input}>>")
    };
    writeln!(
        buf,
        "    pub async fn {rust}(&self, {takes}) -> Result<{gives}, ::relay_rpc::Status> {{ \
         self.0.{shape}(\"{path}\", {asked}).await }}"
    )
}
