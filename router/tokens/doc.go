// Package tokens says how many tokens a request or an answer has: a bound that
// costs nothing, or a count by the model's own tokenizer. Counts are those of
// pkoukk/tiktoken-go with its vocabularies embedded; nothing is downloaded. What
// providers report calibrates how much is held for an estimate. The package knows
// no prices and calls nobody.
package tokens
