//! What the gateway promises on the way of one request, over real sockets with a raw backend behind it.

#[path = "walk/answers.rs"]
mod answers;
#[path = "walk/backend_faults.rs"]
mod backend_faults;
#[path = "walk/balancer.rs"]
mod balancer;
#[path = "walk/bodies.rs"]
mod bodies;
#[path = "walk/door.rs"]
mod door;
#[path = "walk/inspection.rs"]
mod inspection;
#[path = "walk/life.rs"]
mod life;
#[path = "walk/login.rs"]
mod login;
#[path = "walk/metrics.rs"]
mod metrics;
#[path = "walk/order.rs"]
mod order;
#[path = "walk/reverse.rs"]
mod reverse;
#[path = "walk/rule_sets.rs"]
mod rule_sets;
#[path = "walk/streams.rs"]
mod streams;
