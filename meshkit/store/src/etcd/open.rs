//! Opening a store below a prefix, or refusing it untouched.

use std::time::Duration;

use data_encoding::HEXLOWER;
use meshkit_etcd::api::TxnResponse;
use meshkit_etcd::{Client, EtcdError, prefix_end};
use omnirelay_runtime::{ErrorKind, OperatorError};
use prost::Message as _;
use ring::rand::{SecureRandom as _, SystemRandom};

use super::EtcdOptions;
use super::layout::{self, Keys, Meta, Tip};
use super::requests::{absent, found, get, put, range, read, txn, unchanged};
use crate::api::{Identity, TokenKey};

/// How long etcd may take to answer a start.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// Finds out which store lies below the prefix, or makes one where nothing lies there.
pub(super) async fn identity(
    client: &Client,
    keys: &Keys,
    options: &EtcdOptions,
) -> Result<Identity, OperatorError> {
    loop {
        let (meta, cluster) = match look(client, keys, options).await? {
            Found::Nothing { cluster } => {
                create(client, keys, options, cluster).await?;
                continue;
            }
            Found::Ours { meta, mod_revision, cluster } if meta.cluster != cluster => {
                // A backup was restored: what was written after it is gone, and tokens with it.
                let meta = Meta { cluster, incarnation: meta.incarnation + 1, ..meta };
                let request = txn(
                    vec![unchanged(keys.meta(), mod_revision)],
                    vec![put(keys.meta(), meta.encode_to_vec())],
                    Vec::new(),
                );
                client.txn(request, PATIENCE).await.map_err(|error| refused(options, &error))?;
                continue;
            }
            Found::Ours { meta, cluster, .. } => (meta, cluster),
        };
        debug_assert_eq!(meta.cluster, cluster);
        let key = <[u8; TokenKey::LEN]>::try_from(meta.token_key.as_slice());
        let key = key.map_err(|_| damaged(options).because("its token key has not 32 bytes"))?;
        return Ok(Identity { id: meta.id, incarnation: meta.incarnation, token_key: TokenKey::new(key) });
    }
}

enum Found {
    Nothing { cluster: u64 },
    Ours { meta: Meta, mod_revision: i64, cluster: u64 },
}

async fn look(client: &Client, keys: &Keys, options: &EtcdOptions) -> Result<Found, OperatorError> {
    // Both at once: another node may be making the store just now.
    let mut any = range(keys.all(), prefix_end(&keys.all()), 1);
    any.keys_only = true;
    let request = txn(Vec::new(), vec![read(get(keys.meta())), read(any)], Vec::new());
    let answer: TxnResponse =
        client.txn(request, PATIENCE).await.map_err(|error| refused(options, &error))?;
    let cluster = answer.header.unwrap_or_default().cluster_id;
    let mut found = found(answer).into_iter();
    let (meta, any) = (found.next().unwrap_or_default(), found.next().unwrap_or_default());
    let Some(kv) = meta.first() else {
        return match any.first() {
            None => Ok(Found::Nothing { cluster }),
            Some(kv) => Err(OperatorError::new(ErrorKind::Config, "the store's prefix holds something else")
                .at(place(options))
                .because(format!("`{}` is no key of ours", String::from_utf8_lossy(&kv.key)))
                .hint("set `store.prefix` to one that nobody else uses; what lies there was left as it is")),
        };
    };
    let meta = Meta::decode(kv.value.as_slice()).map_err(|error| damaged(options).caused_by(&error))?;
    if meta.layout > layout::VERSION {
        return Err(OperatorError::new(ErrorKind::Config, "the store was made by a newer meshkitd")
            .at(place(options))
            .because(format!(
                "it has layout {}; this meshkitd knows layouts up to {}",
                meta.layout,
                layout::VERSION
            ))
            .hint("run the newer meshkitd again, or set `store.prefix` to a new one"));
    }
    Ok(Found::Ours { mod_revision: kv.mod_revision, meta, cluster })
}

async fn create(
    client: &Client,
    keys: &Keys,
    options: &EtcdOptions,
    cluster: u64,
) -> Result<(), OperatorError> {
    let random: [u8; 48] = random()?;
    let (id, token_key) = random.split_at(16);
    let meta = Meta {
        layout: layout::VERSION,
        id: HEXLOWER.encode(id),
        incarnation: 1,
        token_key: token_key.to_vec(),
        cluster,
    };
    let writes =
        vec![put(keys.meta(), meta.encode_to_vec()), put(keys.tip(), Tip::default().encode_to_vec())];
    // Where another node was faster, its store is ours.
    let request = txn(vec![absent(keys.meta())], writes, Vec::new());
    client.txn(request, PATIENCE).await.map(drop).map_err(|error| refused(options, &error))
}

/// Random bytes that nobody can guess.
pub(super) fn random<const N: usize>() -> Result<[u8; N], OperatorError> {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| OperatorError::new(ErrorKind::Internal, "the system has no random numbers"))?;
    Ok(bytes)
}

fn place(options: &EtcdOptions) -> String {
    format!("`{}` on {}", options.prefix, options.client.endpoints.join(", "))
}

pub(super) fn damaged(options: &EtcdOptions) -> OperatorError {
    OperatorError::new(ErrorKind::Config, "the store is damaged").at(place(options)).hint(
        "restore etcd from a snapshot, or set `store.prefix` to a new one; what lies there was left as it is",
    )
}

/// What etcd said to a start, for people.
pub(super) fn refused(options: &EtcdOptions, error: &EtcdError) -> OperatorError {
    let (kind, message, hint) = match error {
        EtcdError::Unavailable { .. } => (
            ErrorKind::Unavailable,
            "etcd cannot be reached",
            "check that etcd runs with a majority of its members, `store.endpoints`, and that `store.tls` \
             names its authority and a certificate that it lets in",
        ),
        EtcdError::Auth(_) => (
            ErrorKind::Auth,
            "etcd refuses the user",
            "check `store.user`, `store.password_file`, and that its role may read and write all below \
             `store.prefix`",
        ),
        EtcdError::Full(_) => (
            ErrorKind::Unavailable,
            "etcd's database is full",
            "compact and defragment etcd, then disarm its alarm with `etcdctl alarm disarm`",
        ),
        EtcdError::Compacted | EtcdError::Refused(_) => {
            (ErrorKind::Internal, "etcd refuses the store", "use etcd 3.4 or later")
        }
    };
    OperatorError::new(kind, message).at(place(options)).caused_by(error).hint(hint)
}
