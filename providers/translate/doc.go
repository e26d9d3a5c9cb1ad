// Package translate holds what the adapters of formats other than OpenAI's have in common. It
// parses requests into turns for them, and writes their responses, chunks and usage in the
// OpenAI format. It knows nothing about particular providers.
package translate
