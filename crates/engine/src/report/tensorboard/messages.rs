//! The messages of event files, with the numbers of TensorFlow's `event.proto` and `summary.proto`,
//! TensorBoard's `hparams/plugin_data.proto` and `google.protobuf.Value`.

use std::collections::HashMap;

use prost::Message;

/// A record of an event file.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Event {
    #[prost(double, tag = "1")]
    pub(super) wall_time: f64,
    #[prost(int64, tag = "2")]
    pub(super) step: i64,
    #[prost(string, optional, tag = "3")]
    pub(super) file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    pub(super) summary: Option<Summary>,
    #[prost(message, optional, tag = "7")]
    pub(super) session_log: Option<SessionLog>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Summary {
    #[prost(message, repeated, tag = "1")]
    pub(super) value: Vec<SummaryValue>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SummaryValue {
    #[prost(string, tag = "1")]
    pub(super) tag: String,
    #[prost(float, optional, tag = "2")]
    pub(super) simple_value: Option<f32>,
    #[prost(message, optional, tag = "4")]
    pub(super) image: Option<Image>,
    #[prost(message, optional, tag = "9")]
    pub(super) metadata: Option<Metadata>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Image {
    #[prost(int32, tag = "1")]
    pub(super) height: i32,
    #[prost(int32, tag = "2")]
    pub(super) width: i32,
    /// 3 for RGB.
    #[prost(int32, tag = "3")]
    pub(super) colorspace: i32,
    #[prost(bytes = "vec", tag = "4")]
    pub(super) encoded_image_string: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Metadata {
    #[prost(message, optional, tag = "1")]
    pub(super) plugin_data: Option<PluginData>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct PluginData {
    #[prost(string, tag = "1")]
    pub(super) plugin_name: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) content: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SessionLog {
    #[prost(int32, tag = "1")]
    pub(super) status: i32,
}

impl SessionLog {
    /// A program begins at the event's step.
    pub(super) const START: i32 = 1;
}

/// What the plugin for hyper-parameters reads.
#[derive(Clone, PartialEq, Message)]
pub(super) struct HparamsData {
    #[prost(message, optional, tag = "3")]
    pub(super) session_start_info: Option<SessionStart>,
    #[prost(message, optional, tag = "4")]
    pub(super) session_end_info: Option<SessionEnd>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SessionStart {
    #[prost(map = "string, message", tag = "1")]
    pub(super) hparams: HashMap<String, Hparam>,
    #[prost(double, tag = "5")]
    pub(super) start_time_secs: f64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct SessionEnd {
    #[prost(int32, tag = "1")]
    pub(super) status: i32,
    #[prost(double, tag = "2")]
    pub(super) end_time_secs: f64,
}

impl SessionEnd {
    /// The run is complete.
    pub(super) const SUCCESS: i32 = 1;
}

/// One of the fields is there.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Hparam {
    #[prost(double, optional, tag = "2")]
    pub(super) number_value: Option<f64>,
    #[prost(string, optional, tag = "3")]
    pub(super) string_value: Option<String>,
    #[prost(bool, optional, tag = "4")]
    pub(super) bool_value: Option<bool>,
}
