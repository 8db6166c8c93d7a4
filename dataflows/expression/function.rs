//! Functions over values: what there is. What each of them means is in docs/reference/expressions.md, in these words.

use std::fmt;
use std::sync::Arc;

use crate::calendar::Zone;
use crate::model::ValueType;

/// A function, with what is fixed when it is written.
///
/// Unless it says otherwise the result is missing where an argument is missing or of another type than expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Function {
    /// `case when c then x … else y end`: pairs of a condition and a value; then, where their number is odd, the value otherwise.
    Case,
    /// `case v when w then x … else y end`: `v`; pairs; then, where these are followed by one more, the value otherwise.
    CaseOf,
    /// The first argument that is not missing.
    Coalesce,
    /// The first of two arguments, unless both are equal.
    NullIf,
    /// The greatest argument of those that are not missing.
    Greatest,
    /// The least argument of those that are not missing.
    Least,
    /// Whether two arguments differ, where a missing one is equal to another missing one. Never missing.
    IsDistinct,
    /// The argument, of whatever type, as one of this type.
    Cast(ValueType),
    /// The time that a number of these units after 1970 began is.
    ToTime(TimeUnit),
    /// In lower case.
    Lower,
    /// In upper case.
    Upper,
    /// Without white space at the ends.
    Trim,
    /// How many characters a text, or elements a list has.
    Length,
    /// Of a text, from the character of a number on, so many characters, or all.
    Substring,
    /// Two texts, one after the other.
    Concatenate,
    /// A text with each occurrence of the second argument replaced by the third.
    Replace,
    /// Of the parts of a text between separators, the one of a number.
    SplitPart,
    /// Whether a text begins with another.
    StartsWith,
    /// Whether a text ends with another.
    EndsWith,
    /// Whether a text has another in it.
    Contains,
    /// Whether a regular expression matches anywhere in a text.
    RegexpLike(TextRegex),
    /// The MD5 of a text, in hexadecimal digits.
    Md5,
    /// The SHA-256 of a text, in hexadecimal digits.
    Sha256,
    /// A number without its sign.
    Absolute,
    /// A number, rounded to a whole one, or to as many decimal places as the second argument says.
    Round,
    /// The greatest whole number that is not greater.
    Floor,
    /// The least whole number that is not less.
    Ceiling,
    /// The first argument to the power of the second one.
    Power,
    /// The square root.
    SquareRoot,
    /// The natural logarithm.
    NaturalLogarithm,
    /// A time, so many milliseconds later.
    Shift(i64),
    /// The time at which a unit of the calendar began in a zone.
    Truncate(CalendarUnit, Zone),
    /// What a calendar and a clock in a zone show at a time.
    Extract(CalendarField, Zone),
    /// How many years are full from one time to another, by the calendar in UTC.
    AgeYears,
}

/// Units in which a time is counted from 1970 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeUnit {
    /// `'s'`
    Seconds,
    /// `'ms'`
    Milliseconds,
}

/// Declares an enum of which each value has a name in expressions.
macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$of:meta])* $variant:ident = $written:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$of])* $variant),*
        }

        impl $name {
            /// All of them, with what they are written as.
            pub const ALL: &[(&'static str, $name)] = &[$(($written, $name::$variant)),*];
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $($name::$variant => $written),*
                })
            }
        }
    };
}

named!(
    /// Units of the calendar and the clock.
    CalendarUnit {
        /// From 1 January on.
        Year = "year",
        /// From January, April, July and October on.
        Quarter = "quarter",
        /// From its first day on.
        Month = "month",
        /// From Monday on.
        Week = "week",
        /// From its first moment on.
        Day = "day",
        /// By the clock.
        Hour = "hour",
        /// By the clock.
        Minute = "minute",
        /// By the clock.
        Second = "second",
    }
);

named!(
    /// What a calendar and a clock show.
    CalendarField {
        /// The year; 0 and less before the year 1.
        Year = "year",
        /// From 1 on.
        Quarter = "quarter",
        /// From 1 on.
        Month = "month",
        /// Of ISO 8601.
        Week = "week",
        /// Of the month, from 1 on.
        Day = "day",
        /// Of the week; Sunday is 0.
        DayOfWeek = "dow",
        /// Of the week; Monday is 1, Sunday 7.
        IsoDayOfWeek = "isodow",
        /// Of the year, from 1 on.
        DayOfYear = "doy",
        /// From 0 to 23.
        Hour = "hour",
        /// From 0 to 59.
        Minute = "minute",
        /// From 0 to 59.999.
        Second = "second",
        /// Seconds since 1970 began, with milliseconds.
        Epoch = "epoch",
    }
);

impl CalendarField {
    /// The unit with which it changes.
    pub fn changes_with(self) -> CalendarUnit {
        match self {
            CalendarField::Year => CalendarUnit::Year,
            CalendarField::Quarter => CalendarUnit::Quarter,
            CalendarField::Month => CalendarUnit::Month,
            CalendarField::Week => CalendarUnit::Week,
            CalendarField::Day | CalendarField::DayOfWeek | CalendarField::IsoDayOfWeek | CalendarField::DayOfYear => {
                CalendarUnit::Day
            }
            CalendarField::Hour => CalendarUnit::Hour,
            CalendarField::Minute => CalendarUnit::Minute,
            CalendarField::Second | CalendarField::Epoch => CalendarUnit::Second,
        }
    }
}

/// A regular expression over texts.
#[derive(Clone, Debug)]
pub struct TextRegex(Arc<regex::Regex>);

impl TextRegex {
    /// Bytes that a compiled expression may take: that of `.{1000}` fits, and that of `(.{1000}){1000}` does not.
    const BYTES_MAX: usize = 1024 * 1024;

    /// The expression of this pattern; what is wrong with it otherwise.
    pub fn new(pattern: &str, is_case_insensitive: bool) -> Result<TextRegex, String> {
        // As a flag of the pattern, so that the pattern says all.
        let flag = if is_case_insensitive { "(?i)" } else { "" };
        let built = regex::RegexBuilder::new(&format!("{flag}{pattern}"))
            .size_limit(Self::BYTES_MAX)
            .dfa_size_limit(Self::BYTES_MAX)
            .build();
        built.map(|regex| TextRegex(Arc::new(regex))).map_err(|error| match error {
            regex::Error::CompiledTooBig(_) => "the regular expression is too large".to_owned(),
            // A drawing of the pattern with a mark comes before the last line.
            error => error.to_string().lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned(),
        })
    }

    /// Whether it matches anywhere in `text`.
    pub fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// The pattern, with a flag where case does not count.
    pub fn pattern(&self) -> &str {
        self.0.as_str()
    }
}

impl PartialEq for TextRegex {
    fn eq(&self, other: &TextRegex) -> bool {
        self.pattern() == other.pattern()
    }
}

impl Eq for TextRegex {}

impl Function {
    /// What it is called in expressions.
    pub fn name(&self) -> &'static str {
        match self {
            Function::Case | Function::CaseOf => "case",
            Function::Coalesce => "coalesce",
            Function::NullIf => "nullif",
            Function::Greatest => "greatest",
            Function::Least => "least",
            Function::IsDistinct => "is distinct from",
            Function::Cast(_) => "cast",
            Function::ToTime(_) => "to_time",
            Function::Lower => "lower",
            Function::Upper => "upper",
            Function::Trim => "trim",
            Function::Length => "length",
            Function::Substring => "substring",
            Function::Concatenate => "||",
            Function::Replace => "replace",
            Function::SplitPart => "split_part",
            Function::StartsWith => "starts_with",
            Function::EndsWith => "ends_with",
            Function::Contains => "contains",
            Function::RegexpLike(_) => "regexp_like",
            Function::Md5 => "md5",
            Function::Sha256 => "sha256",
            Function::Absolute => "abs",
            Function::Round => "round",
            Function::Floor => "floor",
            Function::Ceiling => "ceil",
            Function::Power => "power",
            Function::SquareRoot => "sqrt",
            Function::NaturalLogarithm => "ln",
            Function::Shift(_) => "interval",
            Function::Truncate(..) => "date_trunc",
            Function::Extract(..) => "extract",
            Function::AgeYears => "age_years",
        }
    }
}

impl fmt::Display for Function {
    /// What it is called, with all that is fixed: different for each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Function::CaseOf => f.write_str(" of"),
            Function::Cast(kind) => write!(f, " as {kind}"),
            Function::ToTime(TimeUnit::Seconds) => f.write_str(" s"),
            Function::ToTime(TimeUnit::Milliseconds) => f.write_str(" ms"),
            Function::RegexpLike(regex) => write!(f, " {:?}", regex.pattern()),
            Function::Shift(ms) => write!(f, " {ms} ms"),
            Function::Truncate(unit, zone) => write!(f, " {unit} {zone}"),
            Function::Extract(field, zone) => write!(f, " {field} {zone}"),
            _ => Ok(()),
        }
    }
}
