//! Numbers as text, without the formatter: several of them are written for every request.

/// The digits of a number, without an allocation.
#[derive(Debug, Clone, Copy)]
pub struct Decimal {
    digits: [u8; Self::DIGITS_MAX],
    from: usize,
}

impl Decimal {
    /// Digits of the largest number.
    const DIGITS_MAX: usize = 20;

    /// The digits of `number`, with zeros before them if there are fewer than `least`.
    #[must_use]
    pub fn of(mut number: u64, least: usize) -> Self {
        let mut digits = [b'0'; Self::DIGITS_MAX];
        let mut from = Self::DIGITS_MAX;
        for digit in digits.iter_mut().rev() {
            if number == 0 && Self::DIGITS_MAX - from >= least {
                break;
            }
            *digit = b'0' + (number % 10) as u8;
            number /= 10;
            from -= 1;
        }
        Self { digits, from }
    }

    /// The text.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.digits.get(self.from..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_of_the_formatter() {
        for number in [0, 1, 9, 10, 99, 12_345, u64::MAX / 7, u64::MAX] {
            let text = |least| String::from_utf8(Decimal::of(number, least).as_bytes().to_vec());
            assert_eq!(text(1).unwrap(), format!("{number}"));
            assert_eq!(text(3).unwrap(), format!("{number:03}"));
        }
    }
}
