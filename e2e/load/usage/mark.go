package usage

import (
	"os"
	"time"
)

// Mark is a moment and the times used up to it.
type Mark struct {
	at                            time.Time
	driver, server, database, all time.Duration
}

// Who are the processes of interest; 0 is none.
type Who struct{ Server, Database int }

// Cores are how many processor cores each part used, on average. Foreign is
// what the rest of the machine used: a measure with much of it is not clean.
// Times come in ticks of 10 ms, so Foreign may be a little below 0.
type Cores struct {
	Driver   float64 `json:"driver"`
	Server   float64 `json:"server"`
	Database float64 `json:"database"`
	Foreign  float64 `json:"foreign"`
}

// Now marks this moment. This process is the driver.
func (w Who) Now() Mark {
	m := Mark{at: time.Now(), all: Machine(), driver: Process(os.Getpid())}
	if w.Server != 0 {
		m.server = Process(w.Server)
	}
	if w.Database != 0 {
		m.database = Family(w.Database)
	}
	return m
}

// Since returns the cores used between two marks.
func (m Mark) Since(from Mark) Cores {
	seconds := m.at.Sub(from.at).Seconds()
	if seconds <= 0 {
		return Cores{}
	}
	c := Cores{
		Driver:   (m.driver - from.driver).Seconds() / seconds,
		Server:   (m.server - from.server).Seconds() / seconds,
		Database: (m.database - from.database).Seconds() / seconds,
	}
	c.Foreign = (m.all-from.all).Seconds()/seconds - c.Driver - c.Server - c.Database
	return c
}
