//! Parts of bodies that are objects and nothing else: what serde derives would read their fields from an array as well, in the
//! order in which they stand here.

/// Reads these from objects alone. Each derives `Deserialize` with `#[serde(remote = "Self")]`, so that what is derived is a
/// function of its own.
macro_rules! objects {
    ($($name:ident)+) => {$(
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Object;

                impl<'de> serde::de::Visitor<'de> for Object {
                    type Value = $name;

                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str("an object")
                    }

                    fn visit_map<A: serde::de::MapAccess<'de>>(
                        self,
                        map: A,
                    ) -> Result<$name, A::Error> {
                        $name::deserialize(serde::de::value::MapAccessDeserializer::new(map))
                    }
                }

                deserializer.deserialize_map(Object)
            }
        }
    )+};
}

/// The same for those that are written too, as it is derived.
macro_rules! kept_objects {
    ($($name:ident)+) => {
        $crate::model::object::objects!($($name)+);
        $(impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                $name::serialize(self, serializer)
            }
        })+
    };
}

pub(crate) use {kept_objects, objects};
