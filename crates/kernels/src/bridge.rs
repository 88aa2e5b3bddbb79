//! The one bridge to the C++ of `cpp/*.cc`, and the only file that holds `unsafe`.
//!
//! A tensor of tch owns an `at::Tensor` by its address. It crosses as a reference to that, an
//! undefined one where there is none, and what C++ made comes back as a pointer that owns.

// cxx's items are public in a private module, and its calls take plain numbers.
#![allow(unsafe_code, unreachable_pub, clippy::too_many_arguments)]

use cxx::{CxxVector, UniquePtr};
use tch::Tensor;

use crate::repeat::Repeat;

#[cxx::bridge(namespace = "polyptych")]
pub(crate) mod ffi {
    extern "Rust" {
        type Repeat;

        fn run(self: &Repeat) -> Result<()>;
    }

    // SAFETY: the functions keep no reference after the call, and what they throw is `Err`; but
    // `begin` keeps the group, which `GradientBuckets::around` borrows for as long. Those
    // whose loops read memory themselves check types and shapes, or take what LibTorch checked.
    unsafe extern "C++" {
        include!("polyptych-kernels/cpp/kernels.h");

        #[namespace = "at"]
        type Tensor;
        type FirstRun;
        type KeyStore;
        type ProcessGroup;
        type GradientBuckets;
        type SumGroup;

        fn best_instructions() -> u8;
        fn instructions_in_use() -> Result<u8>;
        fn product_by(level: u8, bf16: bool, depth: i64, width: i64, rank: i64) -> u8;
        fn low_rank_plan(
            rows: i64,
            input: i64,
            out: i64,
            rank: i64,
            forms: bool,
            input_learns: bool,
            weight_learns: bool,
        ) -> u8;
        fn attention_in_tiles(level: u8, bf16: bool, tokens: i64, width: i64) -> bool;
        fn tiles_of_pairs(level: u8) -> bool;
        fn bytes_by(level: u8) -> u8;

        fn no_tensors() -> UniquePtr<CxxVector<Tensor>>;
        fn push(tensors: Pin<&mut CxxVector<Tensor>>, tensor: &Tensor);

        fn linear(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<UniquePtr<Tensor>>;
        fn linear_gelu(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<UniquePtr<Tensor>>;
        fn low_rank_linear(
            x: &Tensor,
            weight: &Tensor,
            bias: &Tensor,
            a: &Tensor,
            b: &Tensor,
            scale: f64,
            dropout: f64,
        ) -> Result<UniquePtr<Tensor>>;
        fn low_rank_linear_by(
            plan: u8,
            x: &Tensor,
            weight: &Tensor,
            bias: &Tensor,
            a: &Tensor,
            b: &Tensor,
            scale: f64,
        ) -> Result<UniquePtr<Tensor>>;
        fn pack_linear(weight: &Tensor) -> Result<UniquePtr<Tensor>>;
        fn unpack_linear(panels: &Tensor, out: i64, depth: i64) -> Result<UniquePtr<Tensor>>;
        fn packed_linear(
            x: &Tensor,
            panels: &Tensor,
            out: i64,
            depth: i64,
            bias: &Tensor,
            gelu: bool,
        ) -> Result<UniquePtr<Tensor>>;
        fn pack_int8(weight: &Tensor) -> Result<UniquePtr<Tensor>>;
        fn unpack_int8(packed: &Tensor, out: i64, depth: i64) -> Result<UniquePtr<Tensor>>;
        fn int8_linear(
            x: &Tensor,
            matrix: &Tensor,
            depth: i64,
            weight_scale: &Tensor,
            bias: &Tensor,
            input_scale: f64,
            input_zero_point: i64,
            per_token: bool,
            gelu: bool,
        ) -> Result<UniquePtr<Tensor>>;
        fn dropout(x: &Tensor, p: f64) -> Result<UniquePtr<Tensor>>;
        fn batch_norm_relu(
            x: &Tensor,
            weight: &Tensor,
            bias: &Tensor,
            running_mean: &Tensor,
            running_var: &Tensor,
            momentum: f64,
            eps: f64,
            train: bool,
        ) -> Result<UniquePtr<Tensor>>;
        fn fused_head(
            x: &Tensor,
            coarse: &CxxVector<Tensor>,
            layers: &CxxVector<Tensor>,
            norm: &CxxVector<Tensor>,
            momentum: f64,
            eps: f64,
            train: bool,
            always: bool,
        ) -> Result<UniquePtr<Tensor>>;
        fn layer_norm(
            x: &Tensor,
            weight: &Tensor,
            bias: &Tensor,
            eps: f64,
        ) -> Result<UniquePtr<Tensor>>;
        fn gelu(x: &Tensor) -> Result<UniquePtr<Tensor>>;
        fn task_low_rank(
            x: &Tensor,
            base: &Tensor,
            a: &Tensor,
            b: &Tensor,
        ) -> Result<UniquePtr<Tensor>>;
        fn task_up(low: &Tensor, base: &Tensor, b: &Tensor) -> Result<UniquePtr<Tensor>>;
        fn task_hidden(
            x: &Tensor,
            base: &Tensor,
            a: &Tensor,
            b: &Tensor,
            next: &Tensor,
        ) -> Result<UniquePtr<Tensor>>;
        fn attention(qkv: &Tensor, bias: &Tensor, heads: i64) -> Result<UniquePtr<Tensor>>;
        fn add_branch(x: &Tensor, branch: &Tensor, factors: &Tensor) -> Result<UniquePtr<Tensor>>;
        fn moves_windows(x: &Tensor) -> bool;
        fn cut_windows(map: &Tensor, size: &[i64], shift: &[i64]) -> Result<UniquePtr<Tensor>>;
        fn join_windows(
            windows: &Tensor,
            resolution: &[i64],
            size: &[i64],
            shift: &[i64],
        ) -> Result<UniquePtr<Tensor>>;
        fn upsample(
            levels: &CxxVector<Tensor>,
            onto: &Tensor,
            height: i64,
            width: i64,
        ) -> Result<UniquePtr<Tensor>>;
        fn filter_planes(planes: &Tensor, taps: &[f64]) -> Result<UniquePtr<Tensor>>;
        fn cross_entropy(
            prediction: &Tensor,
            target: &Tensor,
            smoothing: f64,
            background_weight: f64,
            labelled: &mut i64,
        ) -> Result<UniquePtr<Tensor>>;
        fn normals_l1(
            prediction: &Tensor,
            target: &Tensor,
            labelled: &mut i64,
        ) -> Result<UniquePtr<Tensor>>;

        fn begin_first_run(repeat: Box<Repeat>, x: &Tensor) -> Result<UniquePtr<FirstRun>>;
        fn backward(outputs: &CxxVector<Tensor>, gradients: &CxxVector<Tensor>) -> Result<()>;
        fn joint_norm(gradients: &CxxVector<Tensor>) -> Result<UniquePtr<Tensor>>;
        fn scale_all(gradients: &CxxVector<Tensor>, factor: f64) -> Result<()>;
        fn scale_all_on_device(gradients: &CxxVector<Tensor>, factor: &Tensor) -> Result<()>;
        fn set_gradient(parameter: &Tensor, gradient: &Tensor) -> Result<()>;
        fn forget_gradients(parameters: &CxxVector<Tensor>) -> Result<()>;
        fn adamw_step(
            params: &CxxVector<Tensor>,
            grads: &CxxVector<Tensor>,
            exp_avgs: &CxxVector<Tensor>,
            exp_avg_sqs: &CxxVector<Tensor>,
            steps: &CxxVector<Tensor>,
            lr: f64,
            beta1: f64,
            beta2: f64,
            weight_decay: f64,
            eps: f64,
        ) -> Result<()>;
        fn sgd_step(
            params: &CxxVector<Tensor>,
            grads: &CxxVector<Tensor>,
            momentum_buffers: &CxxVector<Tensor>,
            lr: f64,
            momentum: f64,
            weight_decay: f64,
            nesterov: bool,
            first_step: bool,
        ) -> Result<()>;

        fn open_key_store(
            host: &str,
            port: u16,
            serve: bool,
            prefix: &str,
            connect_ms: i64,
            timeout_ms: i64,
        ) -> Result<UniquePtr<KeyStore>>;
        fn port(self: &KeyStore) -> u16;
        fn set(self: &KeyStore, key: &str, value: &[u8]) -> Result<()>;
        fn get(self: &KeyStore, key: &str, timeout_ms: i64) -> Result<Vec<u8>>;
        fn has(self: &KeyStore, key: &str) -> Result<bool>;
        fn add(self: &KeyStore, key: &str, amount: i64) -> Result<i64>;
        fn open_process_group(
            store: &KeyStore,
            rank: i32,
            size: i32,
            interfaces: &str,
            timeout_ms: i64,
        ) -> Result<UniquePtr<ProcessGroup>>;
        fn all_reduce(self: &ProcessGroup, tensor: &Tensor, op: u8) -> Result<()>;
        fn broadcast(self: &ProcessGroup, tensor: &Tensor, root: i32) -> Result<()>;
        fn all_gather(self: &ProcessGroup, all: &Tensor, own: &Tensor) -> Result<()>;
        fn barrier(self: &ProcessGroup) -> Result<()>;
        fn differentiable_sum(self: &ProcessGroup, tensor: &Tensor) -> Result<UniquePtr<Tensor>>;

        fn open_gradient_buckets(
            parameters: &CxxVector<Tensor>,
            bucket_bytes: i64,
        ) -> Result<UniquePtr<GradientBuckets>>;
        fn as_sum_group(group: &ProcessGroup) -> &SumGroup;
        fn nccl_unique_id() -> Result<Vec<u8>>;
        fn open_nccl(
            unique_id: &[u8],
            rank: i32,
            size: i32,
            device: i32,
            timeout_ms: i64,
        ) -> Result<UniquePtr<SumGroup>>;
        fn begin(self: &GradientBuckets, group: &SumGroup) -> Result<()>;
        fn finish(self: &GradientBuckets) -> Result<i64>;
        fn cancel(self: &GradientBuckets) -> Result<()>;

        fn pinned_floats(count: i64, pinned: bool) -> Result<UniquePtr<Tensor>>;
        fn write_floats(to: &Tensor, start: i64, values: &[f32]) -> Result<()>;
        fn to_device_of(host: &Tensor, on_device: &Tensor) -> Result<UniquePtr<Tensor>>;
        fn round_nothing_to_tf32() -> Result<()>;
        fn peak_device_bytes(cuda_index: i32) -> Result<i64>;

        fn open_counting_device() -> Result<()>;
        fn take_transfers() -> Vec<String>;

        fn keep_memory() -> bool;
        fn live_storages() -> i64;
        fn open_library(path: &str) -> Result<()>;
        fn torch_version() -> String;
    }
}

// SAFETY: c10d's stores lock, and its groups queue operations under a lock; neither is bound to the
// thread that made it.
unsafe impl Send for ffi::KeyStore {}
unsafe impl Sync for ffi::KeyStore {}
unsafe impl Send for ffi::ProcessGroup {}
// SAFETY: NCCL's communicators are bound to no thread; one of them at a time uses them.
unsafe impl Send for ffi::SumGroup {}

/// The `at::Tensor` that `tensor` owns.
pub(crate) fn at(tensor: &Tensor) -> &ffi::Tensor {
    // SAFETY: tch's pointer is that of a live `at::Tensor`, which goes with `tensor` and no sooner;
    // cxx's type has no size and is only ever behind a reference.
    unsafe { &*tensor.as_ptr().cast::<ffi::Tensor>() }
}

/// The same of many; they share their numbers.
pub(crate) fn all<'t>(
    tensors: impl IntoIterator<Item = &'t Tensor>,
) -> UniquePtr<CxxVector<ffi::Tensor>> {
    let mut all = ffi::no_tensors();
    tensors.into_iter().for_each(|tensor| ffi::push(all.pin_mut(), at(tensor)));
    all
}

/// What C++ made, nothing where it made none.
pub(crate) fn optional_output(output: UniquePtr<ffi::Tensor>) -> Option<Tensor> {
    let owned = (!output.is_null()).then(|| output.into_raw());
    // SAFETY: the pointer is of `new at::Tensor` and was given up by the only one who owned it; tch
    // frees it by `delete`.
    owned.map(|owned| unsafe { Tensor::from_ptr(owned.cast()) })
}

/// The same of an operation that always makes something.
///
/// # Panics
/// What LibTorch reports, as tch's own operations do.
pub(crate) fn output(op: &str, done: Result<UniquePtr<ffi::Tensor>, cxx::Exception>) -> Tensor {
    let found = done.unwrap_or_else(|error| panic!("{op}: {error}"));
    optional_output(found).unwrap_or_default()
}
