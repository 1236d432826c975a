import { defineConfig } from 'vitest/config'

/** The built package under systemd, in a booted image: `npm run test:system`, as root. */
export default defineConfig({
  test: {
    include: ['test/system/**/*.test.ts'],
    globalSetup: ['test/system/support/global-setup.ts'],
    pool: 'forks',
    maxWorkers: 3,
    testTimeout: 600_000,
    hookTimeout: 600_000,
    sequence: { shuffle: true },
  },
})
