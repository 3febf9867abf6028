package plugintest

const (
	// HostileText has sequences that a terminal must not get: they
	// clear the screen, set the title, and reverse the direction.
	HostileText = "a\x1b[2J\x1b]0;t\a\u202eb\u2066\u009b31m"
	// HostileJSON is HostileText as escaped in JSON.
	HostileJSON = `a\u001b[2J\u001b]0;t\u0007\u202eb\u2066\u009b31m`
	// Controls are the control characters of HostileText, and a carriage return.
	Controls = "\x1b\a\r\u202e\u2066\u009b"
)
