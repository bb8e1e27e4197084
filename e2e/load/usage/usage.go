// Package usage reads who used how much processor time and memory, from Linux's
// /proc. On other systems everything is 0.
package usage

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the kernel's USER_HZ: 100 wherever Go runs.
const tick = time.Second / 100

// Process returns the processor time, user and system, that a process has used.
func Process(pid int) time.Duration {
	f := stat(pid)
	if len(f) < 13 {
		return 0
	}
	return ticks(f[11]) + ticks(f[12])
}

// Family returns the time of a process, its children, and those of its
// children that have ended: a PostgreSQL server and its backends.
func Family(pid int) time.Duration {
	f := stat(pid)
	if len(f) < 15 {
		return 0
	}
	sum := ticks(f[11]) + ticks(f[12]) + ticks(f[13]) + ticks(f[14])
	for _, child := range Children(pid) {
		sum += Process(child)
	}
	return sum
}

// Machine returns the busy time of all cores since the machine started.
func Machine() time.Duration {
	content, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0
	}
	line, _, _ := strings.Cut(string(content), "\n")
	var sum time.Duration
	for i, field := range strings.Fields(line) {
		switch i {
		case 1, 2, 3, 6, 7, 8: // user, nice, system, irq, softirq, steal
			sum += ticks(field)
		}
	}
	return sum
}

// Resident returns the resident memory of a process, in bytes.
func Resident(pid int) uint64 { return kibibytes(pid, "status", "VmRSS:") }

// Proportional returns the memory of a process and its children, in bytes;
// pages that several share are counted once.
func Proportional(pid int) uint64 {
	sum := kibibytes(pid, "smaps_rollup", "Pss:")
	for _, child := range Children(pid) {
		sum += kibibytes(child, "smaps_rollup", "Pss:")
	}
	return sum
}

// stat returns the fields of a process after its name, which may hold spaces.
func stat(pid int) []string {
	content, err := os.ReadFile(file(pid, "stat"))
	if err != nil {
		return nil
	}
	return strings.Fields(string(content[bytes.LastIndexByte(content, ')')+1:]))
}

// Children are the processes that a process started and that run.
func Children(parent int) []int {
	all, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil
	}
	var found []int
	for _, dir := range all {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		if f := stat(pid); len(f) > 1 && f[1] == strconv.Itoa(parent) {
			found = append(found, pid)
		}
	}
	return found
}

// Command returns the program of a process and its arguments.
func Command(pid int) []string {
	content, err := os.ReadFile(file(pid, "cmdline"))
	if err != nil || len(content) == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(string(content), "\x00"), "\x00")
}

// kibibytes reads a line "name n kB" of a process's file, as bytes.
func kibibytes(pid int, of, name string) uint64 {
	content, err := os.ReadFile(file(pid, of))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(content)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name {
			n, _ := strconv.ParseUint(f[1], 10, 64) // 0 when the kernel says something else
			return n << 10
		}
	}
	return 0
}

func file(pid int, of string) string { return filepath.Join("/proc", strconv.Itoa(pid), of) }

func ticks(field string) time.Duration {
	n, _ := strconv.ParseInt(field, 10, 64) // 0 when the kernel says something else
	return time.Duration(n) * tick
}
