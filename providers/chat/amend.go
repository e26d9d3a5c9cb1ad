package chat

import "tallyroute/providers/jsonraw"

// AddUsageMembers is data with further members, such as `"cost":0.1`, at the end
// of its top-level usage object, in place of any that it had by the same names.
// All other bytes stay. It is data itself where there is no such object, or where
// members are no JSON.
func AddUsageMembers(data, members []byte) []byte {
	c := jsonraw.NewCursor(data)
	var usage jsonraw.Span
	c.Object(func(name []byte) {
		found := string(name) == "usage" && c.Peek() == '{'
		start := c.Pos()
		if c.Skip(); found {
			usage = jsonraw.Span{Start: start, End: c.Pos()}
		}
	})
	if c.Bad() || usage.End == 0 {
		return data
	}
	return jsonraw.AddMembers(data, usage, members)
}
