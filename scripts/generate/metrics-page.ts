import { METRICS } from '../../src/process/metrics.ts'

const INTRODUCTION = `# Metrics

<!-- Made by \`npm run generate\` from src/process/metrics.ts. Do not edit. -->

With \`enable_metrics: true\`, listeners of type \`metrics\`, and those with the resource \`metrics\`, answer \`GET /_synapse/metrics\` for
Prometheus. Each process tells its own. Where a metric means the same as one of Synapse's, it has that name; \`servlet\` is the operation as
[endpoints.md](endpoints.md) names it. Keep these listeners from the public: a proxy configuration of \`ganglion proxy-config\` does.
`

/** Renders docs/metrics.md from the list of all metrics. */
export function renderMetricsPage(): string {
  const rows = METRICS.map(({ name, type, help }) => `| \`${name}\` | ${type} | ${help} |`)
  return `${INTRODUCTION}\n| Metric | Type | What |\n| --- | --- | --- |\n${rows.join('\n')}\n`
}
