package chat

// Bounds of a request that no parser behind us should have to survive.
const (
	MaxDepth    = 64
	MaxMembers  = 1000 // of one object
	MaxMessages = 2048
	MaxN        = 8 // choices, unless Limits says otherwise
	MaxMetadata = 16
	MaxModel    = 256 // bytes of the model's name
	maxEndUser  = 256
)
