// Draws the first page's parts again as the server sends them. Without it the page is the same and loads itself again.
"use strict";

const trouble = document.getElementById("trouble");
const events = new EventSource("/events");

function say(message) {
  trouble.textContent = message;
  trouble.hidden = message === "";
}

events.addEventListener("parts", (event) => {
  say("");
  for (const [id, html] of Object.entries(JSON.parse(event.data))) {
    const part = document.getElementById(id);
    const scrolled = part.querySelector(".scroll")?.scrollLeft ?? 0;
    // Somebody who works with the keyboard in this part keeps the place there.
    if (!part.contains(document.activeElement)) {
      part.innerHTML = html;
      const scroller = part.querySelector(".scroll");
      if (scroller) scroller.scrollLeft = scrolled;
    }
  }
});
events.addEventListener("trouble", (event) => say(JSON.parse(event.data).message));
events.addEventListener("ended", (event) => {
  events.close();
  say(JSON.parse(event.data).message);
});
events.onerror = () => {
  if (events.readyState !== EventSource.OPEN) say("The page's server does not answer: is the stack down?");
};
