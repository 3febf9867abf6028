package main

import (
	"debug/elf"
	"fmt"
)

// machines are the platforms that an image can have, with the machine of their binaries.
var machines = map[string]elf.Machine{
	"linux/amd64": elf.EM_X86_64,
	"linux/arm64": elf.EM_AARCH64,
}

// checkBinary fails unless the binary at path can start on platform without other files.
func checkBinary(path, platform string) error {
	f, err := elf.Open(path)
	if err != nil {
		return fmt.Errorf("reading the binary for %s: %w", platform, err)
	}
	defer func() { _ = f.Close() }()
	if f.Machine != machines[platform] {
		return fmt.Errorf("%s is for %v, not for %s: build it with GOARCH set", path, f.Machine, platform)
	}
	for _, segment := range f.Progs {
		if segment.Type == elf.PT_INTERP {
			return fmt.Errorf("%s needs a dynamic linker, which the image has not: build it with CGO_ENABLED=0", path)
		}
	}
	return nil
}
