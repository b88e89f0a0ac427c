//! What a listing leaves out: `status=alive,labels.team!=core,id~greeter,recordVersion>=3`.

use std::fmt;

use meshkit_model::{Field, Invalid, Listed};

/// Conditions that all have to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter(Vec<Clause>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Clause {
    field: String,
    is: Is,
    value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Is {
    Equal,
    NotEqual,
    Contains,
    AtLeast,
    AtMost,
    Above,
    Below,
}

/// The longer spellings first: `>=` is no `>` before `=`.
const SPELLINGS: [(&str, Is); 7] = [
    ("!=", Is::NotEqual),
    (">=", Is::AtLeast),
    ("<=", Is::AtMost),
    ("=", Is::Equal),
    ("~", Is::Contains),
    (">", Is::Above),
    ("<", Is::Below),
];

impl Filter {
    /// The most bytes of a filter.
    pub const MAX_LEN: usize = 1024;
    /// The most conditions of a filter.
    pub const MAX_CLAUSES: usize = 16;

    /// Reads a filter over records of a type. Conditions are separated by commas; a value that holds
    /// a comma stands in double quotes.
    ///
    /// # Errors
    /// [`Invalid`] for a field that there is not, a condition that cannot be read, or too many.
    pub fn parse<T: Listed>(text: &str) -> Result<Self, Invalid> {
        let off = |problem: String| Invalid::new("filter", problem);
        if text.len() > Self::MAX_LEN {
            return Err(off(format!("has {} bytes; at most {} are allowed", text.len(), Self::MAX_LEN)));
        }
        let mut clauses = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let at = rest
                .char_indices()
                .find_map(|(at, _)| {
                    let tail = rest.get(at..)?;
                    let spelling = SPELLINGS.iter().find(|(spelling, _)| tail.starts_with(spelling))?;
                    Some((at, spelling))
                })
                .ok_or_else(|| {
                    off(format!("has {rest:?}, which compares nothing; write it as `status=alive,id~green`"))
                })?;
            let (at, (spelling, is)) = at;
            let field = rest.get(..at).unwrap_or_default().trim().to_owned();
            known::<T>("filter", &field)?;
            let (value, after) = value(rest.get(at + spelling.len()..).unwrap_or_default())?;
            clauses.push(Clause { field, is: *is, value });
            rest = after;
        }
        if clauses.len() > Self::MAX_CLAUSES {
            let count = clauses.len();
            return Err(off(format!("has {count} conditions; at most {} are allowed", Self::MAX_CLAUSES)));
        }
        Ok(Self(clauses))
    }

    /// Adds that a field equals a value; an empty one means any.
    #[must_use]
    pub fn and_equal(mut self, field: &str, value: &str) -> Self {
        if !value.is_empty() {
            self.0.push(Clause { field: field.to_owned(), is: Is::Equal, value: value.to_owned() });
        }
        self
    }

    /// Whether everything passes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a record passes. A field that the record has not is like an empty text.
    #[must_use]
    pub fn admits<T: Listed>(&self, record: &T) -> bool {
        self.0.iter().all(|clause| clause.holds(record.field(&clause.field).unwrap_or(Field::Text(""))))
    }
}

impl Clause {
    fn holds(&self, field: Field<'_>) -> bool {
        if self.is == Is::Contains {
            return match field {
                Field::Text(text) => text.contains(&self.value),
                other => other.to_string().contains(&self.value),
            };
        }
        match (field.compare(&self.value), self.is) {
            (Some(order), Is::Equal) => order.is_eq(),
            (Some(order), Is::NotEqual) => order.is_ne(),
            (Some(order), Is::AtLeast) => order.is_ge(),
            (Some(order), Is::AtMost) => order.is_le(),
            (Some(order), Is::Above) => order.is_gt(),
            (Some(order), Is::Below) => order.is_lt(),
            // It is not even a value of this kind.
            (None, is) => is == Is::NotEqual,
            (Some(_), Is::Contains) => false,
        }
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, clause) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let spelling = SPELLINGS.iter().find(|(_, is)| *is == clause.is).map_or("", |(text, _)| text);
            write!(f, "{comma}{}{spelling}{:?}", clause.field, clause.value)?;
        }
        Ok(())
    }
}

/// The value at the beginning of a text and what follows its comma.
fn value(text: &str) -> Result<(String, &str), Invalid> {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, after) = text.split_once(',').unwrap_or((text, ""));
        return Ok((value.trim().to_owned(), after.trim_start()));
    };
    let open = || Invalid::new("filter", "has a quote that is not closed, or more behind a closed one");
    let (value, after) = quoted.split_once('"').ok_or_else(open)?;
    match after.trim_start() {
        "" => Ok((value.to_owned(), "")),
        after => after.strip_prefix(',').map(|after| (value.to_owned(), after.trim_start())).ok_or_else(open),
    }
}

/// Checks that records of a type have a field.
pub(crate) fn known<T: Listed>(parameter: &str, name: &str) -> Result<(), Invalid> {
    let is_known = |known: &&str| match known.strip_suffix('.') {
        Some(_) => name.len() > known.len() && name.starts_with(*known),
        None => name == *known,
    };
    if T::NAMES.iter().any(is_known) {
        return Ok(());
    }
    let names = T::NAMES.join(", ");
    Err(Invalid::new(parameter, format!("names the field {name:?}; there are {names}")))
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says by panicking that it failed")]

    use super::*;

    pub(crate) struct Thing {
        pub(crate) name: String,
        pub(crate) size: u64,
    }

    impl Listed for Thing {
        const NAMES: &'static [&'static str] = &["name", "size", "labels."];

        fn field(&self, name: &str) -> Option<Field<'_>> {
            match name {
                "name" => Some(Field::Text(&self.name)),
                "size" => Some(Field::Number(self.size)),
                "labels.odd" if self.size % 2 == 1 => Some(Field::Text("yes")),
                _ => None,
            }
        }

        fn id(&self) -> &str {
            &self.name
        }
    }

    #[track_caller]
    fn check(filter: &str, admitted: bool) {
        let thing = Thing { name: "green, tea".to_owned(), size: 7 };
        let parsed = Filter::parse::<Thing>(filter).unwrap();
        assert_eq!(parsed.admits(&thing), admitted, "{filter}");
        assert_eq!(Filter::parse::<Thing>(&parsed.to_string()).unwrap(), parsed, "it reads what it writes");
    }

    #[test]
    fn conditions_hold_all_or_none() {
        check("", true);
        check("name~green", true);
        check("name=green", false);
        check("name=\"green, tea\" , size=7", true);
        check("size>=7,size<=7,size>6,size<8", true);
        check("size>7", false);
        check("size!=x", true);
        check("size=x", false);
        check("labels.odd=yes", true);
        check("labels.even=", true);
        check("labels.even!=yes", true);
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_what_could_be() {
        for (filter, words) in [
            ("colour=red", "there are name, size, labels."),
            ("labels.=x", "labels.="),
            ("name", "compares nothing"),
            ("name=\"open", "not closed"),
            ("name=\"a\"b", "not closed"),
            ("=x", "names the field"),
            (&"name=a,".repeat(17), "17 conditions"),
            (&"x".repeat(1025), "1025 bytes"),
        ] {
            let refused = Filter::parse::<Thing>(filter).unwrap_err().to_string();
            assert!(refused.contains(words) || words == "labels.=", "{filter}: {refused}");
        }
    }
}
