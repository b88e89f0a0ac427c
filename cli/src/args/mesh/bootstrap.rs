//! The grammar of `omnirelay mesh bootstrap`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::{Changing, Listing, Shown};

#[derive(Debug, Subcommand)]
pub(crate) enum Bootstrap {
    /// Make a token that lets peers join; it is shown this once
    IssueToken(IssueToken),
    /// List join tokens
    Tokens(Listing),
    /// Let a join token count no more; who joined by it stays
    Withdraw(WithdrawToken),
    /// Make a key here, and get a certificate for it by a join token
    Join(Join),
    /// Replace the key and the certificate of a directory that `join` wrote, now
    ///
    /// A daemon that is told of the directory (`mesh.identity`) does so by itself in time, and takes up what it finds there.
    Rotate(Rotate),
    /// List who joined
    Identities(IdentitiesList),
    /// Let all certificates of one who joined count no more, or one certificate by its serial number
    Revoke(Revoke),
}

#[derive(Debug, Args)]
pub(crate) struct IssueToken {
    /// The role of whoever joins, such as relay or service
    #[arg(long, value_name = "ROLE")]
    pub(crate) role: String,

    /// The cluster that they join
    #[arg(long, value_name = "NAME")]
    pub(crate) cluster: String,

    /// The one name that is given [default: each chooses one that nobody has]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(crate) name: String,

    /// What certificates may hold for: a DNS name, an address, or *.DOMAIN. May be repeated
    #[arg(long = "host", value_name = "HOST")]
    pub(crate) hosts: Vec<String>,

    /// How many may join, 1 to 500
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) uses: u32,

    /// For how long it lets anyone in: `30m`, `86400s`, at most a day
    #[arg(long, value_name = "TIME", default_value = "60m", value_parser = crate::args::duration)]
    pub(crate) lifetime: Duration,

    /// Write the token with the mesh's address and authorities to a new file of yours alone, for `join --token-file`
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) changing: Changing,
}

#[derive(Debug, Args)]
pub(crate) struct WithdrawToken {
    /// The token's id
    pub(crate) id: String,

    #[command(flatten)]
    pub(crate) changing: Changing,
}

#[derive(Debug, Args)]
pub(crate) struct Join {
    /// The file that `issue-token --out` wrote, or one that holds the token alone; `-` is standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: PathBuf,

    /// Where key, certificate, authorities and revocation list go
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,

    /// The name that is wanted [default: the one that the token gives]
    #[arg(long, value_name = "NAME", default_value = "", hide_default_value = true)]
    pub(crate) name: String,

    /// What the certificate is to hold for, within what the token allows [default: all that it names in full]. May be repeated
    #[arg(long = "host", value_name = "HOST")]
    pub(crate) hosts: Vec<String>,

    /// The control plane [default: the one that the token's file names]
    #[arg(long, value_name = "URL")]
    pub(crate) mesh: Option<String>,

    /// The authorities that the control plane is known by [default: those in the token's file]
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,

    /// Replace what is there
    #[arg(long)]
    pub(crate) replace: bool,

    #[command(flatten)]
    pub(crate) shown: Shown,
}

#[derive(Debug, Args)]
pub(crate) struct Rotate {
    /// The directory that `join` wrote
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: PathBuf,

    /// The control plane [default: the context's]
    #[arg(long, value_name = "URL")]
    pub(crate) mesh: Option<String>,

    #[command(flatten)]
    pub(crate) shown: Shown,
}

#[derive(Debug, Args)]
pub(crate) struct IdentitiesList {
    /// Conditions, all of which have to hold: role=relay,cluster=eu-1,name~edge
    #[arg(long, value_name = "CONDITIONS", default_value = "", hide_default_value = true)]
    pub(crate) filter: String,

    #[command(flatten)]
    pub(crate) listing: Listing,
}

#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// The name that it joined under
    #[arg(required_unless_present = "serial", conflicts_with = "serial")]
    pub(crate) name: Option<String>,

    /// One certificate of the authority, by its serial number in hexadecimal, whoever issued it
    #[arg(long, value_name = "HEX")]
    pub(crate) serial: Option<String>,

    #[command(flatten)]
    pub(crate) changing: Changing,
}
