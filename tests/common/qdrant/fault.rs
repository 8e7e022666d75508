use std::time::Duration;

/// How a request is answered in place of what it asks for.
#[derive(Clone, Debug)]
pub enum Answer {
    /// The connection is closed without a word.
    Drop,
    /// As it should be, but later.
    Delay(Duration),
    /// With this status and these words of Qdrant's.
    Status(u16, &'static str),
    /// With status 200 and this body.
    Body(String),
    /// Half of what was announced, then the connection is closed.
    Half,
    /// Half of the JSON, announced as if it were all.
    HalfJson,
}

/// What is wrong with a stored point.
#[derive(Clone, Copy, Debug)]
pub enum Damage {
    /// Its vector is zeros.
    Zero,
    /// Its vector has a number that is none.
    Nan,
    /// One bit of its vector's first number that is not zero is the other one; 30 is the highest of the exponent.
    Flip(u32),
    /// Its vector has so many numbers.
    Length(usize),
    /// It has no vector.
    NoVector,
    /// It is counted and not returned.
    Hidden,
    /// A page that has it is an error.
    Unreadable,
}

impl Damage {
    /// What comes in place of a vector.
    pub fn apply(self, vector: &mut Option<Vec<f32>>) {
        let Some(numbers) = vector else { return };
        match self {
            Self::Zero => numbers.fill(0.0),
            Self::Nan => numbers[0] = f32::NAN,
            Self::Flip(bit) => {
                let first = numbers.iter_mut().find(|number| **number != 0.0).unwrap();
                *first = f32::from_bits(first.to_bits() ^ (1 << bit));
            }
            Self::Length(length) => numbers.resize(length, 0.25),
            Self::NoVector => *vector = None,
            Self::Hidden | Self::Unreadable => {}
        }
    }
}

/// What is wrong with answers.
#[derive(Default)]
pub struct Troubles {
    list: Vec<Trouble>,
    pub torn: bool,
}

struct Trouble {
    on: String,
    times: Option<u32>,
    answer: Answer,
}

impl Troubles {
    pub fn add(&mut self, on: &str, times: Option<u32>, answer: Answer) {
        self.list.push(Trouble { on: on.to_owned(), times, answer });
    }

    /// How a request is to be answered, if not as it should be.
    pub fn next(&mut self, request: &str) -> Option<Answer> {
        let found = self.list.iter_mut().find(|t| request.contains(&t.on) && t.times != Some(0))?;
        found.times = found.times.map(|times| times - 1);
        Some(found.answer.clone())
    }
}
