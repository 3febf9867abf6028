package plugintest

const (
	// HostileText has what a terminal must not get: a screen that is cleared, a title, a line from right to left.
	HostileText = "a\x1b[2J\x1b]0;t\a\u202eb\u2066\u009b31m"
	// HostileJSON is the same as JSON writes it.
	HostileJSON = `a\u001b[2J\u001b]0;t\u0007\u202eb\u2066\u009b31m`
	// Controls are the characters of it that control a terminal.
	Controls = "\x1b\a\r\u202e\u2066\u009b"
)
