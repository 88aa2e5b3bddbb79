//! Arrays of batches that are used up, kept for the next ones: the system takes as long to give
//! fresh memory as the loader to fill it.

use std::sync::{Arc, Mutex, PoisonError};

/// Free arrays: no more than there ever were in batches at once.
#[derive(Debug, Default)]
pub(crate) struct Pool(Mutex<Vec<Vec<f32>>>);

impl Pool {
    /// `len` numbers, whatever they are: the smallest array that has room for them.
    pub(crate) fn take(&self, len: usize) -> Vec<f32> {
        let mut numbers = self.best(len).unwrap_or_default();
        numbers.resize(len, 0.0);
        numbers
    }

    fn best(&self, len: usize) -> Option<Vec<f32>> {
        let mut free = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = free.iter().enumerate().filter(|(_, numbers)| numbers.capacity() >= len);
        let place = fits.min_by_key(|(_, numbers)| numbers.capacity()).map(|(place, _)| place)?;
        Some(free.swap_remove(place))
    }

    fn give(&self, numbers: Vec<f32>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(numbers);
    }
}

/// Where the arrays of a batch go once it is used up; a copy of a batch keeps its own.
#[derive(Debug, Default)]
pub(crate) struct Home(Option<Arc<Pool>>);

impl Home {
    pub(crate) fn new(pool: &Arc<Pool>) -> Self {
        Self(Some(Arc::clone(pool)))
    }

    /// Takes an array of a batch that is going.
    pub(crate) fn take(&self, numbers: Vec<f32>) {
        if let Some(pool) = &self.0 {
            pool.give(numbers);
        }
    }
}

impl Clone for Home {
    fn clone(&self) -> Self {
        Self(None)
    }
}

impl PartialEq for Home {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_come_back_where_they_fit_best() {
        let pool = Arc::new(Pool::default());
        let home = Home::new(&pool);
        home.take(vec![7.0; 6]);
        home.take(vec![8.0; 4]);
        home.clone().take(vec![9.0; 3]);
        assert_eq!(pool.take(3), [8.0; 3]);
        assert_eq!(pool.take(3), [7.0; 3]);
        assert_eq!(pool.take(3), [0.0; 3]);
    }
}
