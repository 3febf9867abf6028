package main

import (
	"errors"
	"fmt"
	"strconv"
	"syscall"
)

const loopback = "127.0.0.1"

// soReusePort is SO_REUSEPORT, which package syscall lacks on some architectures.
const soReusePort = 0xf

// A port is where a server listens. A port of 127.0.0.1 may be reserved: the kernel then gives it to no other process.
type port struct {
	address string
	number  int
	socket  int
}

// reservePort binds a free port and never listens on it. A server that sets SO_REUSEPORT can listen there at once. Rejected:
// closing the socket, because another cluster or an outgoing connection could get the port before the server starts.
func reservePort() (*port, error) {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("reserving a port: %w", err)
	}
	p := &port{address: loopback, socket: socket}
	if err := p.bind(); err != nil {
		return nil, errors.Join(fmt.Errorf("reserving a port: %w", err), p.release())
	}
	return p, nil
}

func (p *port) bind() error {
	if err := syscall.SetsockoptInt(p.socket, syscall.SOL_SOCKET, soReusePort, 1); err != nil {
		return err
	}
	if err := syscall.Bind(p.socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return err
	}
	address, err := syscall.Getsockname(p.socket)
	if err != nil {
		return err
	}
	p.number = address.(*syscall.SockaddrInet4).Port
	return nil
}

func (p *port) release() error { return syscall.Close(p.socket) }

func (p *port) decimal() string { return strconv.Itoa(p.number) }

func (p *port) url(scheme string) string { return scheme + "://" + p.address + ":" + p.decimal() }
