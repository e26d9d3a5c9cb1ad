package chat

// Bounds of a request that no parser behind us should have to survive.
const (
	MaxMessages = 2048
	MaxN        = 8 // choices, unless Limits says otherwise
	MaxMetadata = 16
	MaxInputs   = 2048 // texts, or lists of tokens, of one request for embeddings
	MaxModel    = 256  // bytes of the model's name
	maxEndUser  = 256

	maxDimensions = 1 << 20 // of a vector
)
