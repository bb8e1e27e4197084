package growth

// Costs are what a run measured, as the simulation needs it. 0 means that the
// run could not tell.
type Costs struct {
	// FollowMicros is processor time of a process for each event that it reads and
	// that none of its callers asked about; MirrorMicros that of the NATS server
	// that copies the event into its region and hands it to three processes.
	FollowMicros, MirrorMicros float64
	// PublishMicros is the relay's for each event, StoreMicros its NATS server's.
	PublishMicros, StoreMicros float64
	// BeatMicros is processor time of a process for each heartbeat that it hears:
	// how much its idle cost grows with a region, by four a second. The pulls of
	// one more consumer are in it.
	BeatMicros float64
	// EventBytes is an event's size in a stream, on disk.
	EventBytes float64
	// GraphBytes is what the authz process grows by for each organization that it
	// loads, CountedBytes what it counts for it against its budget; ProcessBytes is
	// what it has without any.
	GraphBytes, CountedBytes, ProcessBytes float64
	// BusBytes is what the NATS server of a region grows by for each organization,
	// wherever it is at home: it knows the subjects of all events.
	BusBytes float64
	// CommitMicros is the database's processor time for each event that was
	// committed one by one, its part of publishing it included.
	CommitMicros float64
	// OrganizationBytes is what the database grows by for each organization.
	OrganizationBytes float64
}

// CostsOf takes the costs from the steps of a run.
func CostsOf(steps []Step) Costs {
	var c Costs
	c.FollowMicros = mean(steps, func(s Step) (float64, bool) { return s.Follow.Bystander[Identity], len(s.Follow.Bystander) > 0 })
	c.MirrorMicros = mean(steps, func(s Step) (float64, bool) { return s.Follow.Bystander[NATS], len(s.Follow.Bystander) > 0 })
	c.PublishMicros = mean(steps, func(s Step) (float64, bool) { return s.Follow.Writer[Relay], s.Follow.Events > 0 })
	c.StoreMicros = mean(steps, func(s Step) (float64, bool) { return s.Follow.Writer[NATS], s.Follow.Events > 0 })
	c.CommitMicros = mean(steps, func(s Step) (float64, bool) { return s.Follow.Writer[Database], s.Follow.Events > 0 })
	c.GraphBytes = mean(steps, func(s Step) (float64, bool) {
		return max(0, ratio(s.Graphs.Grown, s.Graphs.Loaded)), s.Graphs.Loaded > 0
	})
	c.CountedBytes = mean(steps, func(s Step) (float64, bool) { return ratio(s.Graphs.Counted, s.Graphs.All), s.Graphs.All > 0 })
	c.EventBytes = mean(steps, func(s Step) (float64, bool) { return ratio(float64(s.Disk.Streams), float64(s.Disk.Events)), true })
	c.BeatMicros = max(0, Fit(points(steps, func(s Step) (float64, float64) {
		return float64(len(s.Regions)), s.Idle[Identity] / float64(len(s.Regions))
	})).Each) / beatsPerSecond * 1e6
	c.BusBytes = max(0, Fit(points(steps, func(s Step) (float64, float64) {
		return float64(s.Organizations), float64(s.Memory[NATS]) / float64(len(s.Regions))
	})).Each)
	c.OrganizationBytes = max(0, Fit(points(steps, func(s Step) (float64, float64) {
		return float64(s.Organizations), float64(s.Disk.Database)
	})).Each)
	for i, s := range steps {
		if base := float64(s.Memory[Authz]) / float64(len(s.Regions)); i == 0 || base < c.ProcessBytes {
			c.ProcessBytes = base
		}
	}
	return c
}

// mean is over the steps that have the figure.
func mean(steps []Step, of func(Step) (float64, bool)) float64 {
	var sum, n float64
	for _, s := range steps {
		if y, has := of(s); has {
			sum += y
			n++
		}
	}
	return ratio(sum, n)
}

func points(steps []Step, of func(Step) (x, y float64)) []Point {
	out := make([]Point, 0, len(steps))
	for _, s := range steps {
		x, y := of(s)
		out = append(out, Point{x, y})
	}
	return out
}
