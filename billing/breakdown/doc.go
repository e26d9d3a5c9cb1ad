// Package breakdown packs the rows of a day of the ledger by column, and computes reports
// from them: those by dimensions that the daily rollup lacks, such as an end user or a tag.
//
// A breakdown covers its whole day: reports by any one or two of its columns read only the
// columns that they need. It is valid as long as the day has as many rows as when it was
// packed, because rows are only ever added; other days are read row by row. Both databases
// store breakdowns in the same form, and give this package a snapshot.
package breakdown
