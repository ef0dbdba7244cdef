//! Transcript player, simulator, evil peers and fuzz bodies for postrider sessions.
