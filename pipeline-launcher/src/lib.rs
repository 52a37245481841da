pub mod description;
pub mod models;
