// Loads the page again when the job that it was made for has ended, or another one has begun.

const job = document.getElementById("job");

if (job) new MutationObserver(() => {
  const open = job.querySelector("[data-open]")?.dataset.open;
  if (open !== undefined && open !== job.dataset.shown) location.reload();
}).observe(job, { childList: true });
