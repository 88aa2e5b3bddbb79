pub fn f<T: serde::de::DeserializeOwned>(d: &str)->T { let mut d=serde_json::Deserializer::from_str(d); serde_path_to_error::deserialize(&mut d).unwrap() }
