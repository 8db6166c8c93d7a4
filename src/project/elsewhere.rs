//! Functions that people know from SQL, Segment, dbt and spreadsheets, and what to write in their place.

use super::parse::OF_TIME;

/// What to do in the place of a function that is known from elsewhere: it only looks like one that there is.
pub(super) fn elsewhere(function: &str) -> Option<&'static str> {
    Some(match function {
        "now" => OF_TIME,
        "getdate" | "sysdate" | "getutcdate" | "current_timestamp" | "localtimestamp" => "write now()",
        "today" | "current_date" | "curdate" => "write date_trunc('day', now())",
        "datediff" | "date_diff" | "timestampdiff" => {
            "compare with the time: last('Order Completed', timestamp) < now() - interval '30 days'"
        }
        "dateadd" | "date_add" | "date_sub" | "timestampadd" => "write x + interval '30 days'",
        "age" => "write age_years(birthday), or x < now() - interval '30 days'",
        "funnel" | "window_funnel" | "windowfunnel" | "followed_by" | "then" | "sequence_match" | "sequencematch"
        | "sequence_count" | "match_recognize" | "did_not_do" | "not_followed_by" => {
            "events in an order: sequence(step('Product Added'), step('Order Completed', within => '30 min'), over => '7 days'); what \
             did not follow: absent('Order Completed', within => '30 min') as the last argument"
        }
        "ntile" | "rank" | "percent_rank" | "row_number" => {
            "people are not ranked; hash_bucket('spring campaign', 4) divides them at random"
        }
        "random" | "rand" => "write hash_bucket('spring campaign', 100) < 10",
        "array_agg" | "collect" | "string_agg" => {
            "list('Event', properties.NAME) has the different values, last_n('Event', properties.NAME, 5) the latest ones"
        }
        "array_length" | "cardinality" | "array_size" | "size" => "write length(x)",
        "array_contains" | "in_array" | "has_any" => "write any(properties.tags, item = 'sale')",
        "unnest" | "explode" | "flatten" => {
            "each element is a row: sum('Order Completed', item.price * item.quantity, each => properties.products)"
        }
        "all" => "write not any(tags, item <> 'sale')",
        "listagg" | "collect_set" | "collect_list" | "group_concat" | "unique" => {
            "write list('Event', properties.NAME)"
        }
        "list_contains" | "contains_any" | "any_match" | "arrays_overlap" | "exists_in" => {
            "write any(properties.tags, item = 'sale')"
        }
        "array_join" | "array_to_string" => "cast(tags as string) is the list as JSON",
        "first_n" => "there is `last_n`; first('Event', properties.NAME) is the earliest value",
        "latest" | "last_value" => "write last('Event', properties.NAME)",
        "earliest" | "first_value" => "write first('Event', properties.NAME)",
        "nth_value" | "arg_max" | "max_by" | "lag" => {
            "of the latest events there is last_n('Event', properties.NAME, 5)"
        }
        "average" | "mean" => "write avg('Event', properties.NAME)",
        "count_distinct" | "approx_count_distinct" | "uniq" => "write distinct('Event', properties.NAME)",
        "count_if" => "write count('Order Completed', where => properties.total > 5)",
        "split" => "write split_part(x, '@', 1)",
        "sha2" => "write sha256(x)",
        "regexp_replace" | "translate" => "there is replace(x, 'old', 'new')",
        "concat_ws" => "write x || ' ' || y; where x may be missing coalesce(x, '') || y",
        "json_extract" | "json_value" | "get_json_object" => "write properties.address.zip",
        "zeroifnull" => "write coalesce(x, 0)",
        "convert_timezone" | "from_utc_timestamp" => "write extract(hour from x at time zone 'Europe/Berlin')",
        "days_since" => "write x < now() - interval '30 days'",
        "extract" => "write extract(month from x)",
        "mode" | "most_frequent" => "the most frequent value is top('Event', properties.NAME)",
        "percentile_cont" | "percentile_disc" | "quantile" | "approx_percentile" => {
            "write percentile('Event', properties.NAME, 0.9)"
        }
        "variance" | "var_samp" | "stddev_samp" | "stddev_pop" => {
            "there is `stddev`, that of a sample; the variance is its square"
        }
        "hash" | "sha1" | "sha512" => "there are `md5` and `sha256`, such as in sha256(lower(trim(x)))",
        "isnull" => "write x is null, or coalesce(x, y) for another value in its place",
        "ifnull" | "nvl" => "write coalesce(x, y)",
        "if" | "iff" | "iif" => "write case when condition then x else y end",
        "decode" | "switch" | "choose" => "write case x when 'a' then 1 else 2 end",
        "and" | "or" => "it stands between conditions: a and b, a or b",
        "countif" | "countifs" => "write count('Order Completed', where => properties.total > 5)",
        "sumif" | "sumifs" => "write sum('Order Completed', properties.total, where => properties.total > 5)",
        "event" | "events" => "write count('Order Completed') > 0",
        "exists" => "write count('Order Completed') > 0, or x is not null",
        "len" => "write length(x)",
        "lcase" | "tolower" => "write lower(x)",
        "ucase" | "toupper" => "write upper(x)",
        "ltrim" | "rtrim" | "btrim" => "write trim(x), which leaves out white space at both ends",
        "left" => "write substring(x, 1, n)",
        "right" => "write substring(x, length(x) - n + 1)",
        "concat" => "write x || y; where x may be missing coalesce(x, '') || y",
        "startswith" => "write starts_with(x, y)",
        "endswith" => "write ends_with(x, y)",
        "strpos" | "instr" | "charindex" | "locate" => "contains(x, 'text') says whether it is in it",
        "to_timestamp" | "from_unixtime" => "write to_time(x, 's')",
        "to_date" | "date" => "write date_trunc('day', cast(x as time))",
        "year" => "write extract(year from x)",
        "month" => "write extract(month from x)",
        "day" | "dayofmonth" => "write extract(day from x)",
        "dayofweek" | "weekday" => "write extract(dow from x)",
        "hour" | "minute" | "date_part" | "datepart" => {
            "write extract(hour from x), in a zone extract(hour from x at time zone 'Europe/Berlin')"
        }
        "log" => "write ln(x); the logarithm to the base 10 is ln(x) / ln(10)",
        "log10" => "write ln(x) / ln(10)",
        "exp" => "write power(2.718281828459045, x)",
        "to_number" => "write cast(x as number)",
        "to_char" | "strftime" | "date_format" => "write extract(month from x), or cast(x as string)",
        "rlike" | "regexp" | "regexp_matches" | "regexp_contains" => "write regexp_like(x, 'pattern')",
        _ => return None,
    })
}
