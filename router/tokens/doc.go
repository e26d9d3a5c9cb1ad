// Package tokens says how many tokens a request or an answer has: a bound that costs nothing,
// or a count by the model's own tokenizer. Counts are those of pkoukk/tiktoken-go, which the
// tests compare them with, with its vocabularies embedded; nothing is downloaded. Text is split
// and merged here, because the library takes ten times as long. What providers report
// calibrates how much is held for an estimate. The package knows no prices and makes no calls.
package tokens
