package site

// Access is who gets at the directories beside deputyd itself.
type Access struct {
	ServerUID, ServerGID int  // whom the server runs as, and the group that reads output; Windows knows them as LocalService
	Inherited            bool // on Windows: who may do what follows from the folder above (`deputy up`)
}
