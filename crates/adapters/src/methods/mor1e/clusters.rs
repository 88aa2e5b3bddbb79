//! What an image is like: how near its features lie to clusters of those of the training images.
//!
//! `c_k = <z_k, e>`: `e` is the unit vector of the plain backbone's features of the image, `z_k` the mean
//! of the unit vectors of a cluster, found by Lloyd's iteration from the seeds of k-means++.

use std::cell::{Cell, RefCell};

use polyptych_tensor::{
    Error as TensorError, Init, Kind, PlainPass, Result, Scope, Site, SiteKind, Tensor, no_grad,
};
use rand::Rng;
use rand_pcg::Pcg64;

use crate::blocks::kronecker::backbone_of;
use crate::experts::kmeans::draw;

/// The buffer of centroids, below the backbone.
const CENTROIDS: &str = "mor1e_centroids";
/// Lloyd's iterations at most.
const ITERATIONS: usize = 100;
/// A centroid that moves by less stands still.
const STILL: f64 = 1e-6;

/// The clusters, and the images of the pass.
#[derive(Debug)]
pub(super) struct Clusters {
    count: i64,
    plain: Cell<bool>,
    /// `[clusters, dim]`; zero until they were found.
    centroids: RefCell<Option<Tensor>>,
    /// `c` of the images of the pass, `[batch, clusters]`.
    images: RefCell<Option<Tensor>>,
}

impl Clusters {
    pub(super) fn new(count: i64) -> Self {
        let (centroids, images) = (RefCell::default(), RefCell::default());
        Self { count, plain: Cell::new(false), centroids, images }
    }

    /// Makes room for the centroids once the width of the last level is known.
    pub(super) fn at(&self, scope: &Scope, site: &Site) -> Result<()> {
        let mut centroids = self.centroids.borrow_mut();
        if centroids.is_none() && site.last_stage && site.kind == SiteKind::Fc2 {
            let shape = [self.count, site.out_features];
            let scope = backbone_of(&scope.adapter(), site);
            *centroids = Some(scope.buffer(CENTROIDS, &shape, Init::ZEROS)?);
        }
        Ok(())
    }

    pub(super) fn is_plain(&self) -> bool {
        self.plain.get()
    }

    pub(super) fn have_room(&self) -> bool {
        self.centroids.borrow().is_some()
    }

    /// `c` beside `x`, `[batch * parts, .., in]`: `[batch * parts, .., clusters]`; nothing before any
    /// image was heard of.
    pub(super) fn beside(&self, x: &Tensor) -> Option<Tensor> {
        let images = self.images.borrow();
        let images = images.as_ref()?;
        let (rows, batch) = (x.size()[0], images.size()[0].max(1));
        // Windows of an image follow each other.
        let own = images.repeat_interleave_self_int(rows / batch, 0, rows / batch * batch);
        let mut shape = vec![1; x.dim()];
        (shape[0], shape[x.dim() - 1]) = (-1, self.count);
        (rows % batch == 0).then(|| own.view(shape.as_slice()))
    }
}

impl PlainPass for Clusters {
    fn set_plain(&self, plain: bool) {
        self.plain.set(plain);
    }

    fn is_ready(&self) -> bool {
        let centroids = self.centroids.borrow();
        let known = |c: &Tensor| no_grad(|| c.abs().max().double_value(&[])) > 0.0;
        centroids.as_ref().is_some_and(known)
    }

    fn needs_features_only(&self) -> bool {
        true
    }

    fn prepare(&self, features: &Tensor) -> Result<()> {
        let wrong = |expected: String, found: String| {
            Err(TensorError::Config { key: "guide".into(), expected, found })
        };
        let count = features.size()[0];
        if count < self.count {
            let expected = format!("as many training images as clusters, {}", self.count);
            return wrong(expected, format!("{count} images"));
        }
        let points = unit(&features.to_kind(Kind::Double));
        if points.isfinite().all().int64_value(&[]) == 0 {
            return wrong("finite features of all images".into(), "others".into());
        }
        let found = centroids(&points, self.count);
        if let Some(own) = &*self.centroids.borrow() {
            no_grad(|| own.shallow_clone().copy_(&found));
        }
        Ok(())
    }

    fn is_guided(&self) -> bool {
        true
    }

    fn guide(&self, features: &Tensor) {
        let centroids = self.centroids.borrow();
        let near = |c: &Tensor| no_grad(|| unit(features).matmul(&c.tr()));
        *self.images.borrow_mut() = centroids.as_ref().map(near);
    }
}

/// Rows of length 1; a row of zeros stays.
fn unit(rows: &Tensor) -> Tensor {
    let squares = rows.square().sum_dim_intlist([-1i64].as_slice(), true, None::<Kind>);
    rows / squares.sqrt().clamp_min(1e-12)
}

/// Means of `count` clusters of `points`, `[points, dim]`: `[count, dim]`.
fn centroids(points: &Tensor, count: i64) -> Tensor {
    let mut centroids = points.index_select(0, &Tensor::from_slice(&seeds(points, count)));
    for _ in 0..ITERATIONS {
        let labels = squared_distances(points, &centroids).argmin(1, false);
        let members = labels.one_hot(count).to_kind(Kind::Double);
        let sizes = members.sum_dim_intlist([0i64].as_slice(), false, None::<Kind>).unsqueeze(1);
        let means = members.tr().matmul(points) / sizes.clamp_min(1.0);
        // A cluster without a member stays where it is.
        let next = means.where_self(&sizes.gt(0.0), &centroids);
        let moved = (&next - &centroids).abs().max().double_value(&[]);
        centroids = next;
        if moved < STILL {
            break;
        }
    }
    centroids
}

/// The first seed is any point, each other one is drawn by its squared distance to the nearest.
fn seeds(points: &Tensor, count: i64) -> Vec<i64> {
    let (number, mut rng) = (points.size()[0], Pcg64::new(0, 0));
    let mut seeds = vec![rng.random_range(0..number)];
    while (seeds.len() as i64) < count {
        let known = points.index_select(0, &Tensor::from_slice(&seeds));
        let nearest = squared_distances(points, &known).amin([1i64].as_slice(), false);
        let weights = Vec::<f64>::try_from(nearest.clamp_min(0.0)).unwrap_or_default();
        let drawn = draw(&weights, &mut rng).map(|index| index as i64);
        seeds.push(drawn.unwrap_or_else(|| rng.random_range(0..number)));
    }
    seeds
}

/// `[points, centroids]`.
fn squared_distances(points: &Tensor, centroids: &Tensor) -> Tensor {
    let squares = |t: &Tensor| t.square().sum_dim_intlist([1i64].as_slice(), false, None::<Kind>);
    let products = points.matmul(&centroids.tr()) * -2.0;
    (products + squares(points).unsqueeze(1) + squares(centroids).unsqueeze(0)).clamp_min(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Store};

    /// Three bunches around axes, of other lengths.
    fn bunches() -> Tensor {
        polyptych_tensor::manual_seed(0);
        let axes = Tensor::eye(3, (Kind::Float, Device::Cpu)).repeat([20, 1]);
        let noise = Tensor::randn([60, 3], (Kind::Float, Device::Cpu)) * 0.05;
        (axes + noise) * Tensor::arange_start(1, 61, (Kind::Float, Device::Cpu)).unsqueeze(1)
    }

    fn clusters(count: i64) -> Clusters {
        let clusters = Clusters::new(count);
        let site = Site {
            path: "blocks.0.mlp.fc2".into(),
            kind: SiteKind::Fc2,
            in_features: 4,
            out_features: 3,
            bias: true,
            stage: 0,
            last_in_stage: true,
            last_stage: true,
        };
        let scope = Store::new(Device::Cpu).root().pp("backbone").pp("blocks.0.mlp.fc2");
        clusters.at(&scope, &site).unwrap();
        clusters
    }

    #[test]
    fn bunches_are_found_and_compared_with() {
        let clusters = clusters(3);
        assert!(!clusters.is_ready() && clusters.have_room());
        clusters.prepare(&bunches()).unwrap();
        assert!(clusters.is_ready());
        clusters.guide(&Tensor::eye(3, (Kind::Float, Device::Cpu)));
        let x = Tensor::zeros([6, 5, 4], (Kind::Float, Device::Cpu));
        let c = clusters.beside(&x).unwrap();
        assert_eq!(c.size(), [6, 1, 3]);
        // Two windows of every image; each image is near to one cluster.
        assert_eq!(c.get(0), c.get(1));
        let (near, _) = c.max_dim(-1, false);
        assert!(near.min().double_value(&[]) > 0.98);
        let sums = c.get(0) + c.get(2) + c.get(4);
        assert!((sums - 1.0).abs().max().double_value(&[]) < 0.1);
    }

    #[test]
    fn too_few_images_are_refused() {
        let message = clusters(5).prepare(&bunches().narrow(0, 0, 4)).unwrap_err().to_string();
        let expected = "as many training images as clusters, 5, found 4 images";
        assert!(message.ends_with(expected), "{message}");
    }
}
