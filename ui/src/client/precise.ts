/** Unix time in milliseconds with a fraction, and steady: it does not jump when the system's clock is set. */
export function preciseNow(): number {
  return performance.timeOrigin + performance.now();
}
