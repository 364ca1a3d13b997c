//! Example programs; each is a binary of its own: a chat server that signs in through the daemon, and one
//! that embeds the library.
