//! Objects: one thing that someone wrote, typed, with its name and where it was written.
//!
//! `parse` makes them; pilot and the laptop mesh read them; `check` makes them `Valid`. `AnyObject` is the enum over
//! every kind of the list in `kind.rs`.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::finding::{Code, Finding};
use crate::kind::{Kind, Shape, for_each_kind};
use crate::meta::Meta;
use crate::path::FieldPath;
use crate::yaml::Lines;

/// Name of an object among all objects.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub kind: Kind,
    /// Empty for cluster-wide kinds.
    pub namespace: String,
    pub name: String,
}

impl Key {
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Self {
        Key { kind, namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

/// `Kind namespace/name`, or `Kind name`.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.is_empty() {
            true => write!(f, "{} {}", self.kind, self.name),
            false => write!(f, "{} {}/{}", self.kind, self.namespace, self.name),
        }
    }
}

/// What was written, word for word, with the line of every field.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Source {
    /// The whole object as read.
    pub value: Value,
    pub lines: Lines,
}

/// Where an object comes from. Two origins are equal when file and line are.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// File name as given to `parse`; empty for objects of an API server.
    pub file: Arc<str>,
    /// First line of the object, counted from 1; 0 when unknown.
    pub line: u32,
    /// What was written; can be dropped to save memory, then fields have the object's line.
    pub source: Option<Arc<Source>>,
}

impl Origin {
    /// The line of a field, counted from the root of the object (`spec.http[0]`).
    pub fn line_of(&self, path: &FieldPath) -> u32 {
        self.source.as_ref().map_or(self.line, |source| source.lines.at(path))
    }

    /// A finding about a field of the object that stands here, with file and line.
    pub fn finding(&self, object: Key, path: &str, code: Code, message: impl Into<String>) -> Finding {
        let path = FieldPath::parse(path);
        let line = self.line_of(&path);
        Finding::new(code, message).about(object).at(&self.file, line).field(path)
    }
}

impl PartialEq for Origin {
    fn eq(&self, other: &Self) -> bool {
        self.file == other.file && self.line == other.line
    }
}

impl Eq for Origin {}

/// `file:line`.
impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// An object of one kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object<T> {
    /// As written, such as `networking.istio.io/v1`.
    pub api_version: String,
    /// As written.
    pub kind: String,
    pub meta: Meta,
    pub spec: T,
    pub status: Option<Value>,
    pub origin: Origin,
}

/// A type that is the spec of a kind.
pub trait Spec:
    Clone + fmt::Debug + Default + PartialEq + Serialize + DeserializeOwned + Send + Sync + 'static
{
    const KIND: Kind;

    /// The typed object, if it is of this kind.
    fn of(object: &AnyObject) -> Option<&Object<Self>>;

    /// The typed object, or what was given.
    fn take(object: AnyObject) -> Result<Object<Self>, AnyObject>;

    /// The object among all kinds.
    fn wrap(object: Object<Self>) -> AnyObject;
}

impl<T: Spec> Object<T> {
    /// An object made by code, in the preferred version.
    pub fn new(namespace: &str, name: &str, spec: T) -> Self {
        Object {
            api_version: T::KIND.api_version(),
            kind: T::KIND.name().to_owned(),
            meta: Meta::named(namespace, name),
            spec,
            status: None,
            origin: Origin::default(),
        }
    }

    pub fn key(&self) -> Key {
        Key::new(T::KIND, &self.meta.namespace, &self.meta.name)
    }

    /// The object as text would have it: what was written, or else what the types hold, with current metadata
    /// and status.
    pub fn to_value(&self) -> Value {
        let mut map = match &self.origin.source {
            Some(source) => source.value.as_object().cloned().unwrap_or_default(),
            None => self.typed_fields(),
        };
        let mut out = Map::new();
        out.insert("apiVersion".to_owned(), Value::String(self.api_version.clone()));
        out.insert("kind".to_owned(), Value::String(self.kind.clone()));
        out.insert("metadata".to_owned(), to_json(&self.meta));
        for key in ["apiVersion", "kind", "metadata", "status"] {
            map.shift_remove(key);
        }
        out.extend(map);
        if let Some(status) = &self.status {
            out.insert("status".to_owned(), status.clone());
        }
        Value::Object(out)
    }

    fn typed_fields(&self) -> Map<String, Value> {
        match (T::KIND.row().shape, to_json(&self.spec)) {
            (Shape::Flat, Value::Object(map)) => map,
            (_, spec) => Map::from_iter([("spec".to_owned(), spec)]),
        }
    }
}

fn to_json<T: Serialize>(value: &T) -> Value {
    serde_json::to_value(value).expect("kinds have string keys only")
}

macro_rules! any_object {
    ($( $variant:ident $module:ident :: $type:ident, $group:literal [$($version:literal),*] $name:literal $plural:literal
        [$($short:literal),*] $scope:ident $family:ident $shape:ident; )*) => {
        /// An object of any kind.
        #[derive(Clone, Debug, PartialEq)]
        pub enum AnyObject {
            $( $variant(Box<Object<crate::$module::$type>>), )*
            /// A kind that nothing here reads, as it was written (`spec` holds the whole object).
            Unknown(Box<Object<Value>>),
        }

        $( impl Spec for crate::$module::$type {
            const KIND: Kind = Kind::$variant;

            fn of(object: &AnyObject) -> Option<&Object<Self>> {
                match object {
                    AnyObject::$variant(object) => Some(object),
                    _ => None,
                }
            }

            fn take(object: AnyObject) -> Result<Object<Self>, AnyObject> {
                match object {
                    AnyObject::$variant(object) => Ok(*object),
                    other => Err(other),
                }
            }

            fn wrap(object: Object<Self>) -> AnyObject {
                AnyObject::$variant(Box::new(object))
            }
        } )*

        impl AnyObject {
            pub fn kind(&self) -> Kind {
                match self {
                    $( AnyObject::$variant(_) => Kind::$variant, )*
                    AnyObject::Unknown(_) => Kind::Unknown,
                }
            }

            /// Forgets the text that the object was read from, to save memory; the typed object stays.
            pub fn drop_source(&mut self) {
                match self {
                    $( AnyObject::$variant(object) => object.origin.source = None, )*
                    AnyObject::Unknown(object) => object.origin.source = None,
                }
            }

            pub fn meta(&self) -> &Meta {
                match self {
                    $( AnyObject::$variant(object) => &object.meta, )*
                    AnyObject::Unknown(object) => &object.meta,
                }
            }

            pub fn meta_mut(&mut self) -> &mut Meta {
                match self {
                    $( AnyObject::$variant(object) => &mut object.meta, )*
                    AnyObject::Unknown(object) => &mut object.meta,
                }
            }

            pub fn origin(&self) -> &Origin {
                match self {
                    $( AnyObject::$variant(object) => &object.origin, )*
                    AnyObject::Unknown(object) => &object.origin,
                }
            }

            pub fn origin_mut(&mut self) -> &mut Origin {
                match self {
                    $( AnyObject::$variant(object) => &mut object.origin, )*
                    AnyObject::Unknown(object) => &mut object.origin,
                }
            }

            pub fn status(&self) -> Option<&Value> {
                match self {
                    $( AnyObject::$variant(object) => object.status.as_ref(), )*
                    AnyObject::Unknown(object) => object.status.as_ref(),
                }
            }

            pub fn status_mut(&mut self) -> &mut Option<Value> {
                match self {
                    $( AnyObject::$variant(object) => &mut object.status, )*
                    AnyObject::Unknown(object) => &mut object.status,
                }
            }

            /// `apiVersion` and `kind` as written.
            pub fn type_words(&self) -> (&str, &str) {
                match self {
                    $( AnyObject::$variant(object) => (&object.api_version, &object.kind), )*
                    AnyObject::Unknown(object) => (&object.api_version, &object.kind),
                }
            }

            /// The object as text would have it; see `Object::to_value`.
            pub fn to_value(&self) -> Value {
                match self {
                    $( AnyObject::$variant(object) => object.to_value(), )*
                    AnyObject::Unknown(object) => object.spec.clone(),
                }
            }

            /// Empty objects of each kind, to be filled by `parse`.
            pub(crate) fn make(kind: Kind, maker: &mut dyn Maker) -> Option<AnyObject> {
                match kind {
                    $( Kind::$variant => {
                        let mut reader = SpecReader::<crate::$module::$type>::default();
                        maker.fill(&mut reader).map(|object| AnyObject::$variant(Box::new(Object {
                            api_version: object.api_version,
                            kind: object.kind,
                            meta: object.meta,
                            spec: reader.spec,
                            status: object.status,
                            origin: object.origin,
                        })))
                    } )*
                    Kind::Unknown => None,
                }
            }
        }
    };
}

for_each_kind!(any_object);

impl AnyObject {
    pub fn key(&self) -> Key {
        let meta = self.meta();
        Key::new(self.kind(), &meta.namespace, &meta.name)
    }

    /// The typed object, if it is of this kind.
    pub fn get<T: Spec>(&self) -> Option<&Object<T>> {
        T::of(self)
    }
}

impl<T: Spec> From<Object<T>> for AnyObject {
    fn from(object: Object<T>) -> Self {
        T::wrap(object)
    }
}

/// Everything of an object but its spec.
pub(crate) type Frame = Object<()>;

/// What `AnyObject::make` asks for: read the spec into the reader, give the rest.
pub(crate) trait Maker {
    fn fill(&mut self, reader: &mut dyn ReadSpec) -> Option<Frame>;
}

/// A place for a spec of some type.
pub(crate) trait ReadSpec {
    fn read(&mut self, value: &Value, dialect: crate::de::Dialect, root: &FieldPath) -> crate::de::Read<()>;
}

#[derive(Default)]
struct SpecReader<T> {
    spec: T,
}

impl<T: DeserializeOwned> ReadSpec for SpecReader<T> {
    fn read(&mut self, value: &Value, dialect: crate::de::Dialect, root: &FieldPath) -> crate::de::Read<()> {
        let read = crate::de::read::<T>(value, dialect, root);
        let made = read.value.map(|spec| self.spec = spec);
        crate::de::Read { value: made, unknown: read.unknown, wrong: read.wrong }
    }
}
