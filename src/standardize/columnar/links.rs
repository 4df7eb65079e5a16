//! Which column of a Parquet file fills which of the table's, worked out once per file.

use arrow::datatypes::{DataType, Fields};

use crate::standardize::plan::{Node, ObjectPlan};

/// What the columns of a file, or the fields of a struct in it, are for; in their order.
#[derive(Debug)]
pub struct Links(pub Vec<Link>);

/// What one column is for.
#[derive(Debug)]
pub struct Link {
    /// Its name in the file.
    pub name: String,
    /// Index of the field of the plan that it feeds; `None` if the table does not know it.
    pub field: Option<usize>,
    /// How its value is read for each of the field's builders.
    pub shapes: Vec<Shape>,
    /// If it is a struct that columns take their values from: what its fields are for.
    pub below: Option<Links>,
}

/// How a value of the file becomes one of the table.
#[derive(Debug)]
pub enum Shape {
    /// The table's type has no parts.
    Scalar,
    /// Both are lists; how an element is read.
    List(Box<Shape>),
    /// Both are maps; how an entry's value is read.
    Map(Box<Shape>),
    /// Both are structs; what the fields are for.
    Struct(Links),
    /// They are of different kinds: the value's JSON text is read.
    Json,
}

impl Links {
    /// Finds the field of the plan for each column. Names are compared as those of JSON keys are.
    pub fn new(plan: &ObjectPlan, columns: &Fields) -> Self {
        let link = columns.iter().map(|column| {
            let field = plan.find(column.name().as_bytes());
            let known = field.map(|index| &plan.fields[index]);
            let shape = |(_, node): &(usize, Node)| Shape::new(node, column.data_type());
            let below = match (known.and_then(|field| field.below.as_ref()), column.data_type()) {
                (Some(below), DataType::Struct(parts)) => Some(Self::new(below, parts)),
                _ => None,
            };
            let shapes = known.map_or_else(Vec::new, |field| field.targets.iter().map(shape).collect());
            Link { name: column.name().clone(), field, shapes, below }
        });
        Self(link.collect())
    }
}

impl Shape {
    fn new(node: &Node, data_type: &DataType) -> Self {
        match (node, data_type) {
            (Node::Scalar(_), _) => Self::Scalar,
            (Node::List(node), DataType::List(element)) => Self::List(Box::new(Self::new(node, element.data_type()))),
            (Node::Map(_, node), DataType::Map(entry, _)) => match entry.data_type() {
                DataType::Struct(parts) if parts.len() == 2 => Self::Map(Box::new(Self::new(node, parts[1].data_type()))),
                _ => Self::Json,
            },
            (Node::Struct(plan), DataType::Struct(parts)) => Self::Struct(Links::new(plan, parts)),
            _ => Self::Json,
        }
    }
}
