//! What is measured: a method on the backbone of its paper, with tasks, sizes and a type.

use anyhow::Result;
use polyptych_adapters::Form;
use polyptych_data::{TaskKind, TaskSpec};
use polyptych_engine::{Model, Recipe};
use polyptych_tensor::{Device, Kind, Precision, Tensor, no_grad};

use crate::recipe;

/// Dense tasks: name, kind, classes, weight of the loss.
const DENSE: [(&str, TaskKind, usize, f64); 4] = [
    ("semseg", TaskKind::Semseg, 21, 1.0),
    ("human_parts", TaskKind::HumanParts, 7, 2.0),
    ("sal", TaskKind::Sal, 0, 5.0),
    ("normals", TaskKind::Normals, 0, 10.0),
];

/// Classes of the four fine-grained sets.
const CLASSES: [usize; 4] = [200, 196, 100, 102];

/// A method on a backbone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// MTLoRA on Swin-T, dense tasks.
    MtLora,
    /// VMT-Adapter on Swin-T, dense tasks.
    Vmt,
    /// EMTAL on ViT-B/16, tasks of whole images.
    Emtal,
    /// LoRA on ViT-B/16, tasks of whole images.
    Lora,
    /// LoRA on the backbone of this name, tasks of whole images.
    LoraOn(&'static str),
    /// Full fine-tuning of ViT-B/16, tasks of whole images.
    Full,
}

/// A method at one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subject {
    /// The method.
    pub method: Method,
    /// Number of tasks.
    pub tasks: usize,
    /// Images of a batch.
    pub batch: i64,
    /// Height and width of an image.
    pub size: i64,
    /// Where numbers live.
    pub device: Device,
    /// Type of activations.
    pub precision: Precision,
    /// Whether dense tasks share a decoder, in place of a published head each.
    pub shared_decoder: bool,
    /// Whether dropout and stochastic depth are left out.
    pub certain: bool,
    /// Whether blocks are run once more in the backward pass instead of keeping what they need.
    pub grad_checkpointing: bool,
}

impl Method {
    /// Whether tasks have maps.
    pub fn is_dense(self) -> bool {
        matches!(self, Method::MtLora | Method::Vmt)
    }

    fn backbone(self) -> &'static str {
        match self {
            Method::MtLora | Method::Vmt => "swin_tiny_patch4_window7_224",
            Method::LoraOn(backbone) => backbone,
            Method::Emtal | Method::Lora | Method::Full => "vit_base_patch16_224",
        }
    }

    fn adapter(self, tasks: &[TaskSpec]) -> String {
        let ranks: Vec<String> = tasks.iter().map(|task| format!("{} = 4", task.name)).collect();
        match self {
            Method::MtLora => format!(
                "method='mtlora', r=64, r_per_task={{ {} }}, scale=4.0, lora_dropout=0.05",
                ranks.join(", ")
            ),
            Method::Emtal => "method='emtal', r=4, num_experts=16, router_temperature=5.0, \
                fading={ start=0.0, end=0.5 }, \
                experts={ method='as_stored' }"
                .into(),
            Method::Lora | Method::LoraOn(_) => {
                "method='lora', r=16, lora_alpha=16.0, target_modules='all-linear'".into()
            }
            Method::Full => "method='full'".into(),
            Method::Vmt => "method='vmt_adapter'".into(),
        }
    }
}

impl Subject {
    /// Four tasks on the CPU in float32, with dropout: 4 images of 224 x 224 pixels.
    pub fn usual(method: Method) -> Self {
        let precision = Precision::Fp32;
        let (shared_decoder, certain, grad_checkpointing) = (false, false, false);
        let device = Device::Cpu;
        Self {
            method,
            tasks: 4,
            batch: 4,
            size: 224,
            device,
            precision,
            shared_decoder,
            certain,
            grad_checkpointing,
        }
    }

    /// The tasks, in the order of their names.
    pub fn specs(&self) -> Vec<TaskSpec> {
        let one = |index: usize| match self.method.is_dense() {
            true => {
                let (name, kind, classes, _) = DENSE[index % DENSE.len()];
                spec(name, index / DENSE.len(), kind, classes)
            }
            false => spec("set", index, TaskKind::Classification, CLASSES[index % CLASSES.len()]),
        };
        let mut specs: Vec<TaskSpec> = (0..self.tasks).map(one).collect();
        specs.sort_by(|a, b| a.name.cmp(&b.name));
        specs
    }

    /// The recipe of the method.
    fn recipe(&self) -> Result<Recipe> {
        let (method, specs, chance) = (self.method, self.specs(), !self.certain);
        let head = match (method.is_dense(), self.shared_decoder) {
            (true, true) => "shared_decoder",
            (true, false) => "hrnet",
            (false, _) => "linear",
        };
        let tasks = specs.iter().map(|spec| {
            let weight = weight(spec);
            format!("tasks.{}={{ weight={weight:?}, head={{ name='{head}' }} }}", spec.name)
        });
        let precision = serde_json::to_string(&self.precision)?;
        let rate = if chance && method.is_dense() { 0.2 } else { 0.0 };
        let adapter = method.adapter(&specs);
        let adapter = if chance { adapter } else { adapter.replace("dropout=0.05", "dropout=0.0") };
        let backbone = method.backbone();
        let mut settings = vec![
            format!("precision={precision}"),
            format!("backbone={{ name='{backbone}', weights='none', drop_path_rate={rate:?} }}"),
            format!("backbone.grad_checkpointing={}", self.grad_checkpointing),
            format!("adapter={{ {adapter} }}"),
            format!("data.img_size=[{0}, {0}]", self.size),
            format!("data.batch_size={}", self.batch),
        ];
        settings.extend(tasks);
        Ok(recipe("bench", &settings)?)
    }

    /// The model in `form`.
    ///
    /// # Errors
    /// A size that does not fit the backbone.
    pub fn model(&self, form: Form) -> Result<Model> {
        Ok(Model::new(&self.recipe()?, &self.specs(), form, self.device)?)
    }

    /// The model as it trains, with values in which no factor is zero, so that all gradients are
    /// there.
    ///
    /// # Errors
    /// As [`Subject::model`].
    pub fn stirred(&self) -> Result<Model> {
        let model = self.model(Form::Adapted)?;
        let stirred = |tensor: &Tensor| drop(tensor.shallow_clone().normal_(0.0, 0.02));
        model.store.for_each(|name, entry| {
            let values = &entry.tensor;
            if name.contains("lora_") && values.count_nonzero(None).int64_value(&[]) == 0 {
                no_grad(|| stirred(values));
            }
        });
        Ok(model)
    }

    /// A batch of images, `[batch, 3, size, size]`.
    pub fn images(&self) -> Tensor {
        Tensor::randn([self.batch, 3, self.size, self.size], (Kind::Float, self.device))
    }

    /// Random labels of a task, all of which count.
    pub fn target(&self, spec: &TaskSpec) -> Tensor {
        let of = (Kind::Float, self.device);
        let map = |chans: i64| [self.batch, chans, self.size, self.size];
        let classes = spec.classes.len() as i64;
        match spec.kind {
            TaskKind::Semseg | TaskKind::HumanParts => Tensor::randint(classes, map(1), of),
            TaskKind::Normals => {
                let vectors = Tensor::randn(map(3), of);
                &vectors / vectors.norm_scalaropt_dim(2.0, [1i64].as_slice(), true)
            }
            TaskKind::Classification => Tensor::randint(classes, [self.batch, 1, 1, 1], of),
            _ => Tensor::rand(map(1), of).gt(0.8).to_kind(Kind::Float),
        }
    }
}

/// The first of its kind has no number.
fn spec(name: &str, number: usize, kind: TaskKind, classes: usize) -> TaskSpec {
    let name = if number == 0 { name.to_owned() } else { format!("{name}{number}") };
    let classes = (0..classes).map(|class| class.to_string()).collect();
    TaskSpec { name, kind, classes, palette: Vec::new(), flip_pairs: Vec::new() }
}

/// Weight of the loss of a task.
pub(crate) fn weight(spec: &TaskSpec) -> f64 {
    DENSE.iter().find(|(_, kind, ..)| *kind == spec.kind).map_or(1.0, |(.., weight)| *weight)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_repeat_under_names_of_their_own() {
        let subject = Subject { tasks: 6, ..Subject::usual(Method::MtLora) };
        let names: Vec<String> = subject.specs().into_iter().map(|spec| spec.name).collect();
        assert_eq!(names, ["human_parts", "human_parts1", "normals", "sal", "semseg", "semseg1"]);
    }

    #[test]
    fn dense_tasks_share_a_decoder_where_they_should() {
        for (method, shared_decoder, head) in
            [(Method::Vmt, false, "hrnet"), (Method::Vmt, true, "shared_decoder")]
        {
            let subject = Subject { shared_decoder, ..Subject::usual(method) };
            let recipe = subject.recipe().unwrap();
            assert!(recipe.tasks.values().all(|task| task.head.name() == head));
        }
    }

    #[test]
    fn every_method_has_a_recipe_and_chance_can_be_left_out() {
        use Method::*;
        for method in [MtLora, Vmt, Emtal, Lora, LoraOn("vit_base_patch16_224"), Full] {
            let text = |certain| {
                let subject = Subject { certain, ..Subject::usual(method) };
                serde_json::to_string(&subject.recipe().unwrap()).unwrap()
            };
            assert_eq!(text(false).contains(r#""lora_dropout":0.05"#), method == MtLora);
            assert!(!text(true).contains(r#""lora_dropout":0.05"#));
            assert_eq!(text(false).contains(r#""drop_path_rate":0.2"#), method.is_dense());
        }
    }
}
