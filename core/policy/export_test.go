package policy

// Lapse puts a module that nobody asks to rest, as time would.
func (m *Module) Lapse() {
	for _, e := range m.engines {
		e.rest.lapse()
	}
}

// Resting says whether the module has given back what it takes.
func (m *Module) Resting() bool {
	for _, e := range m.engines {
		if !e.rest.resting() {
			return false
		}
	}
	return true
}

// Metered says whether fuel bounds the module's evaluations.
func (m *Module) Metered() bool { return m.engines[0].metered }

// Watched is the module as its deadline bounds it, without fuel.
func (m *Module) Watched() *Module {
	watched := *m
	watched.engines = m.engines[len(m.engines)-1:]
	return &watched
}
