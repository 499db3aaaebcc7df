"use strict";
// One player at a time; within a group the next one goes on where the last one was.
document.addEventListener("play", (event) => {
  const player = event.target;
  const group = player.closest("[data-group]");
  for (const other of document.querySelectorAll("audio")) {
    if (other === player || other.paused) continue;
    other.pause();
    if (group && group.contains(other)) player.currentTime = other.currentTime;
  }
}, true);
